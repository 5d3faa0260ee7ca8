/** Run as a process: writes to an embedded store for ever and prints each revision once it is answered. */
import { openEmbeddedStore } from '../../../pilot/store/embedded.ts';

const [path = ''] = process.argv.slice(2);
const store = await openEmbeddedStore({ path });
for (let at = 0; ; at++) {
  const value = Buffer.from(String(at));
  const { revision } = await store.transact({ operations: [{ kind: 'put', key: `n/${at}`, value }] });
  process.stdout.write(`${revision} n/${at}\n`);
}
