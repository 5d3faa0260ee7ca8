/**
 * Two real sidecars with an mTLS link between, routing, metrics, trace headers and one authorization rule:
 * `node bench/subject/pair.ts --listen 127.0.0.1:P --upstream H:P …` (see subject.ts).
 */
import { freePorts } from '../../test/support/free-port.ts';
import { makeCertificates } from '../lab/certificates.ts';
import { callerConfig, receiverConfig } from './static.ts';
import { runSubject } from './subject.ts';

await runSubject('pair', async ({ folder, addresses: { listen, upstream }, ...scale }) => {
  // An application reaches its sidecar on loopback only.
  if (!['127.0.0.1', 'localhost', '::1'].includes(listen.host)) {
    throw new Error(`--listen is a loopback address, not ${listen.host}`);
  }
  makeCertificates(folder);
  const [link = 0, ...own] = await freePorts(5);
  const [outboundA = 0, adminA = 0, outboundB = 0, adminB = 0] = own;
  return [
    receiverConfig(link, upstream, { outbound: outboundB, admin: adminB }, scale.upstreamProtocol),
    callerConfig(listen, link, { outbound: outboundA, admin: adminA }, scale),
  ];
});
