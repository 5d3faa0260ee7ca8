/** One plaintext hop of the real sidecar: `node bench/subject/hop.ts --listen H:P --upstream H:P …` (see subject.ts). */
import { freePorts } from '../../test/support/free-port.ts';
import { hopConfig } from './static.ts';
import { runSubject } from './subject.ts';

await runSubject('hop', async ({ addresses, upstreamProtocol }) => {
  const [outbound = 0, admin = 0] = await freePorts(2);
  return [hopConfig(addresses.listen, addresses.upstream, { outbound, admin }, upstreamProtocol)];
});
