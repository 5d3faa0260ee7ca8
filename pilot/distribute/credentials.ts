/**
 * TLS of the pilot's gRPC ports: TLS 1.3 only, no session tickets (a resumed session would skip the check of the
 * client's certificate), and a certificate that is exchanged without closing the port.
 */
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';

/** PEM. */
export interface ServerIdentity {
  readonly privateKey: string;
  /** Leaf first; on the join port it ends with the root, which the joining node compares. */
  readonly certificateChain: string;
  readonly trustBundle: string;
}

/** Whether callers must show a certificate of the mesh. */
export type ClientCheck = 'required' | 'none';

export class PilotCredentials extends ServerCredentials {
  readonly #clients: ClientCheck;

  constructor(identity: ServerIdentity, clients: ClientCheck) {
    const context = contextOf(identity, clients);
    const mustShow = clients === 'required';
    super({ requestCert: mustShow, rejectUnauthorized: mustShow, handshakeTimeout: handshakeMs }, context);
    this.#clients = clients;
  }

  /** New connections see `identity`; open ones go on. */
  update(identity: ServerIdentity): void {
    this.updateSecureContextOptions(contextOf(identity, this.#clients));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

const handshakeMs = 10_000;

function contextOf(identity: ServerIdentity, clients: ClientCheck): SecureContextOptions {
  return {
    key: identity.privateKey,
    cert: identity.certificateChain,
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(clients === 'required' ? { ca: identity.trustBundle } : {}),
  };
}
