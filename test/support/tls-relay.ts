/**
 * A plaintext port in front of a TLS one: it makes the handshake, with a workload's certificate where there is
 * one to show, and passes bytes, so that tools without TLS or client certificates can speak to a sidecar.
 */
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { Scope } from './cleanup.ts';
import { listen } from './tls-bench.ts';

export interface TlsRelayOptions {
  readonly port: number;
  readonly serverName: string;
  readonly trustBundle: string;
  readonly protocol: 'h2' | 'http/1.1';
  /** Who the relay is; nobody where absent. */
  readonly identity?: IdentityBundle;
}

/** The port of the relay, which ends with the test. */
export function startTlsRelay(t: Scope, options: TlsRelayOptions): Promise<number> {
  const { identity } = options;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (downstream) => {
    const upstream = connect({
      host: '127.0.0.1',
      port: options.port,
      ...(identity !== undefined && { key: identity.privateKey, cert: identity.certificateChain }),
      ca: options.trustBundle,
      servername: options.serverName,
      // The name is a SPIFFE one; what this relay is for does not depend on it.
      checkServerIdentity: () => undefined,
      ALPNProtocols: [options.protocol],
    });
    upstream.setNoDelay(true);
    downstream.on('error', () => upstream.destroy());
    upstream.on('error', () => downstream.destroy());
    downstream.on('close', () => upstream.destroy());
    upstream.on('close', () => downstream.destroySoon());
    downstream.pipe(upstream);
    upstream.pipe(downstream);
  });
  return listen(t, server);
}
