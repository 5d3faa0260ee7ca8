/**
 * A plaintext port in front of a link port: it shows a workload's certificate and passes bytes, so that tools
 * without client certificates can speak to a link.
 */
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import type { IdentityBundle } from '../../../mesh/bootstrap.ts';
import type { Scope } from '../cleanup.ts';
import { listen } from '../tls-bench.ts';

export interface LinkRelayOptions {
  readonly linkPort: number;
  readonly serverName: string;
  readonly bundle: IdentityBundle;
}

/** The port of the relay, which ends with the test. */
export function startLinkRelay(t: Scope, options: LinkRelayOptions): Promise<number> {
  const { linkPort, serverName, bundle } = options;
  const server = createServer({ allowHalfOpen: true }, (downstream) => {
    const upstream = connect({
      host: '127.0.0.1',
      port: linkPort,
      key: bundle.privateKey,
      cert: bundle.certificateChain,
      ca: bundle.trustBundle,
      servername: serverName,
      // The name is a SPIFFE one; what this relay is for does not depend on it.
      checkServerIdentity: () => undefined,
      ALPNProtocols: ['h2'],
    });
    downstream.on('error', () => upstream.destroy());
    upstream.on('error', () => downstream.destroy());
    downstream.on('close', () => upstream.destroy());
    upstream.on('close', () => downstream.destroy());
    downstream.pipe(upstream);
    upstream.pipe(downstream);
  });
  return listen(t, server);
}
