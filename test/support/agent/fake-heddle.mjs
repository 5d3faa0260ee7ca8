/**
 * Stands in for `heddle sidecar run --agent SOCKET --instance ID` where the supervisor is tested alone: answers `/ready` on the
 * admin socket beside the agent's, ends on SIGTERM and leaves files
 * `serving.PID` and `ended.PID` that say so.
 */

import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';

const socket = process.argv[process.argv.indexOf('--agent') + 1] ?? '';
const admin = join(dirname(socket), 'admin.sock');
rmSync(admin, { force: true });
const server = createServer((_request, response) => response.end('ready\n'));
process.on('SIGTERM', () => {
  writeFileSync(join(dirname(socket), `ended.${process.pid}`), '');
  process.exit(0);
});
// As a real sidecar does: the successor serves, then this one goes.
process.on('SIGHUP', () => {
  const successor = spawn(process.execPath, process.argv.slice(1), { detached: true, stdio: 'ignore' });
  successor.unref();
  setTimeout(() => process.exit(0), 500);
});
server.listen(admin, () => writeFileSync(join(dirname(socket), `serving.${process.pid}`), ''));
