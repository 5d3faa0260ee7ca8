/**
 * HTTP/2 floods against a real sidecar process, again and again, while somebody else is served: every flooding
 * connection ends with GOAWAY, memory stays within its bound and comes back, the other client has no error.
 */
import assert from 'node:assert/strict';
import { Agent, createServer, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { sidecarNodeFlags } from '../../mesh/bootstrap.ts';
import { suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import {
  block,
  continuation,
  data,
  type Frame,
  headers,
  ping,
  preface,
  readFrames,
  rst,
  settings,
  windowUpdate,
} from '../support/http2-frames.ts';
import { residentBytes, settledBytes } from '../support/process-memory.ts';
import type { RunningProcess } from '../support/processes.ts';
import { describePair, startStaticSide } from '../support/static-pair.ts';
import { listen } from '../support/tls-bench.ts';

const enhanceYourCalm = 11;
const mib = 1024 * 1024;
/** While a flood lasts, and how much of it may still be there 10 s after. */
const maxGrowthBytes = 32 * mib;
const maxRestBytes = 12 * mib;
const backWithinMs = 10_000;
/** Connections that flood, one after the other on each of the lanes. */
const lanes = 1;
const perLane = 40;
const warmUpRequests = 5_000;
const closedWithinMs = 15_000;

const request = block([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a'],
]);
const post = block([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a'],
]);
/** Puts a field of 4 KB into the table, which one byte then names. */
const seed = Buffer.concat([request, Buffer.from('4001617fa11e', 'hex'), Buffer.alloc(4000, 'x')]);

const repeat = (times: number, make: (at: number) => Buffer) =>
  Buffer.concat(Array.from({ length: times }, (_, at) => make(at)));

/** What each flooding connection sends after its preface; all of it is above the figure that ends it. */
const floods: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['rapid reset', repeat(700, (at) => Buffer.concat([headers(1 + 2 * at, request), rst(1 + 2 * at, 8)]))],
  [
    'resets that we are made to send',
    repeat(700, (at) => Buffer.concat([headers(1 + 2 * at, post, 4), windowUpdate(1 + 2 * at, 0)])),
  ],
  [
    'CONTINUATION without end',
    Buffer.concat([headers(1, request, 1), repeat(200, () => continuation(1, Buffer.alloc(4096), 0))]),
  ],
  [
    'an HPACK bomb',
    Buffer.concat([
      settings([[4, 0]]),
      headers(1, seed),
      headers(3, Buffer.concat([request, Buffer.alloc(8000, 0xbe)])),
    ]),
  ],
  ['PING', repeat(2_000, () => ping())],
  ['SETTINGS', repeat(2_000, () => settings([[3, 100]]))],
  ['empty DATA', Buffer.concat([headers(1, post, 4), repeat(500, () => data(1, ''))])],
];

describe('HTTP/2 floods against a sidecar', () => {
  const scope = suiteScope();
  let sidecar: RunningProcess;
  let port = 0;
  let neighbour: Neighbour;

  before(async () => {
    const app = createServer((message, response) => {
      message.resume();
      response.end('hello');
    });
    const appPort = await listen(scope, app);
    const served = { port: 8080, appPort, protocol: 'http', mtls: 'permissive' } as const;
    const { mesh, receiver } = await describePair({ ports: [served] });
    // As agents start it: without them V8 grows its young generation and keeps it.
    sidecar = await startStaticSide(scope, mesh, receiver, { nodeArgs: sidecarNodeFlags });
    port = receiver.bootstrap.apps[0]?.plain?.port ?? 0;
    neighbour = new Neighbour(port);
    neighbour.start();
    await eventually(() => neighbour.answered >= warmUpRequests, { withinMs: 60_000, what: 'the warm-up' });
    // The first flood of each kind compiles code; what stays of that is not the flood's.
    for (const [, bytes] of floods) await flood(port, bytes);
  });
  after(() => neighbour.stop());

  for (const [name, bytes] of floods) {
    it(`${name}: ends with GOAWAY, costs nobody else anything`, async (t) => {
      const baseBytes = await settledBytes(sidecar.pid, 2 * mib);
      const before = neighbour.answered;
      let peakBytes = baseBytes;
      const watch = setInterval(() => {
        peakBytes = Math.max(peakBytes, residentBytes(sidecar.pid));
      }, 50);
      const codes: (number | undefined)[] = [];
      try {
        await Promise.all(
          Array.from({ length: lanes }, async () => {
            for (let at = 0; at < perLane; at++) codes.push(await flood(port, bytes));
          }),
        );
      } finally {
        clearInterval(watch);
      }
      assert.deepEqual(new Set(codes), new Set([enhanceYourCalm]));
      t.diagnostic(`grew by ${Math.round((peakBytes - baseBytes) / mib)} MiB`);
      assert.ok(peakBytes - baseBytes <= maxGrowthBytes, `grew by ${(peakBytes - baseBytes) / mib} MiB`);
      await eventually(() => residentBytes(sidecar.pid) - baseBytes <= maxRestBytes, {
        withinMs: backWithinMs,
        what: 'memory given back',
      });
      await eventually(() => neighbour.answered > before + 10, { what: 'the neighbour goes on' });
      assert.deepEqual(neighbour.errors, []);
      assert.equal(sidecar.status, undefined);
    });
  }
});

/** Sends a flood on a connection of its own; the code of the GOAWAY that ended it, or undefined. */
function flood(port: number, bytes: Buffer): Promise<number | undefined> {
  const socket: Socket = connect(port, '127.0.0.1');
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  socket.on('error', () => {});
  socket.write(Buffer.concat([preface, settings(), bytes]));
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`a flooding connection was still open after ${closedWithinMs} ms`));
    }, closedWithinMs);
    socket.on('close', () => {
      clearTimeout(late);
      const goaway = readFrames(Buffer.concat(received)).find((frame: Frame) => frame.type === 7);
      resolve(goaway?.payload.readUInt32BE(4));
    });
  });
}

/** Somebody else's requests, one after the other on a connection that is kept. */
class Neighbour {
  answered = 0;
  readonly errors: string[] = [];
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #isStopped = false;

  constructor(port: number) {
    this.#port = port;
  }

  start(): void {
    const call = get({ host: '127.0.0.1', port: this.#port, path: '/', agent: this.#agent }, (response) => {
      if (response.statusCode !== 200) this.errors.push(`status ${response.statusCode}`);
      response.resume();
      response.on('end', () => {
        this.answered++;
        if (!this.#isStopped) setImmediate(() => this.start());
      });
    });
    call.on('error', (error) => {
      if (!this.#isStopped) this.errors.push(error.message);
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#agent.destroy();
  }
}
