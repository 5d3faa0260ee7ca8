/**
 * An application for tests of the supervisor. It listens on PORT and does what its arguments say:
 * `crash` exits at once, `stubborn` ignores SIGTERM, `stray` leaves a child behind in a session of its own,
 * `flood BYTES` writes so much to standard output.
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';

const [what, amount] = process.argv.slice(2).filter((word) => !word.startsWith('mark='));
if (what === 'crash') process.exit(3);
if (what === 'stubborn') process.on('SIGTERM', () => {});
if (what === 'stray') {
  spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', process.argv.at(-1) ?? ''], {
    detached: true,
    stdio: 'ignore',
  }).unref();
}
if (what === 'flood')
  for (let left = Number(amount); left > 0; left -= 1000) process.stdout.write(`${'x'.repeat(999)}\n`);
createServer((_request, response) => response.end(JSON.stringify(process.env))).listen(
  Number(process.env.PORT),
  '127.0.0.1',
);
process.stdout.write(`listening ${process.pid}\n`);
