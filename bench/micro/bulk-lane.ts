/**
 * What large bodies do to small requests of the same caller, on the same link and beside it: `node bench/micro/bulk-lane.ts`.
 * Two ports of one service have a link each, so uploads to the second port play a lane of their own. Rounds of both
 * kinds alternate, so that what else the machine does falls on both alike.
 */
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { startStaticPair } from '../../test/support/static-pair.ts';

const rounds = 6;
const roundMs = 2_000;
const uploads = 2;
const uploadBytes = 4 * 1024 * 1024;
const smallPort = 80;
const bulkPort = 81;

const cleanups: (() => unknown)[] = [];
let failures = 0;
const server = createServer((message, response) => {
  message.resume();
  message.on('end', () => response.end('ok'));
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port: appPort } = server.address() as AddressInfo;
const pair = await startStaticPair(
  { after: (cleanup) => void cleanups.push(cleanup as () => unknown) },
  { ports: [smallPort, bulkPort].map((port) => ({ port, appPort, protocol: 'http' as const })) },
);
const agent = new Agent({ keepAlive: true });
const body = Buffer.alloc(uploadBytes);

function send(port: number, method: string, content?: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const headers = content === undefined ? {} : { 'content-length': content.length };
    const sent = request({ host: '127.0.0.1', port, method, agent, headers }, (response) => {
      response.resume();
      response.on('close', () => resolve());
    });
    // A kept connection may have been closed meanwhile.
    sent.on('error', () => {
      failures++;
      resolve();
    });
    sent.end(content);
  });
}

async function round(bulk: number | undefined): Promise<{ readonly times: number[]; readonly sent: number }> {
  const endMs = performance.now() + roundMs;
  let sent = 0;
  const upload = async () => {
    while (bulk !== undefined && performance.now() < endMs) {
      await send(pair.localPort(bulk), 'POST', body);
      sent++;
    }
  };
  const flowing = Array.from({ length: uploads }, upload);
  const times: number[] = [];
  while (performance.now() < endMs) {
    const start = performance.now();
    await send(pair.localPort(smallPort), 'GET');
    times.push(performance.now() - start);
  }
  await Promise.all(flowing);
  return { times, sent };
}

const kinds = { none: undefined, same: smallPort, own: bulkPort };
const all = { none: [] as number[], same: [] as number[], own: [] as number[] };
const bytes = { none: 0, same: 0, own: 0 };
for (const port of [smallPort, bulkPort]) await send(pair.localPort(port), 'GET');
for (let n = 0; n < rounds; n++) {
  for (const kind of ['none', 'same', 'own'] as const) {
    const { times, sent } = await round(kinds[kind]);
    all[kind].push(...times);
    bytes[kind] += sent * uploadBytes;
  }
}
for (const kind of ['none', 'same', 'own'] as const) {
  const sorted = all[kind].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2);
  const rate = (bytes[kind] / 2 ** 20 / ((rounds * roundMs) / 1000)).toFixed(0);
  process.stdout.write(
    `bulk ${kind.padEnd(4)}: ${sorted.length} small, p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms; ${rate} MiB/s\n`,
  );
}
process.stdout.write(`${failures} failed\n`);
agent.destroy();
server.close();
for (const cleanup of cleanups.reverse()) await cleanup();
