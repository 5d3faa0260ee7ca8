/**
 * HTTP/2 floods against a real sidecar process, again and again, while somebody else is served: every flooding
 * connection ends with GOAWAY, memory stays within its bound and comes back, the other client has no error.
 * Once from anybody, at a plaintext port, and once from a sidecar of the mesh, at the link port.
 */
import assert from 'node:assert/strict';
import { Agent, createServer, get } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { sidecarNodeFlags } from '../../mesh/bootstrap.ts';
import { suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask } from '../support/http-app.ts';
import {
  block,
  continuation,
  data,
  frame,
  headers,
  ping,
  preface,
  priority,
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
const warmUpRequests = 5_000;
const closedWithinMs = 30_000;

const port = 8080;
const serverName = `${port}.shop.test.mesh`;
const requestOf = (method: string) =>
  block([
    [':method', method],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'a'],
    // Means something on links only.
    ['heddle-port', String(port)],
  ]);
const request = requestOf('GET');
const post = requestOf('POST');
/** Puts a field of 4 KB into the table, which one byte then names. */
const seed = Buffer.concat([request, Buffer.from('4001617fa11e', 'hex'), Buffer.alloc(4000, 'x')]);

const repeat = (times: number, make: (at: number) => Buffer) =>
  Buffer.concat(Array.from({ length: times }, (_, at) => make(at)));

interface Flood {
  readonly name: string;
  /**
   * What each flooding connection sends after its preface; all of it is above the figure that ends it. Of several
   * parts each waits until the one before was read: closing over more than 64 KiB would take the GOAWAY along.
   */
  readonly parts: readonly Buffer[];
  /** Connections that flood, one after the other. */
  readonly times: number;
}

/** More than a door lets one connection do. */
interface Figures {
  /** Each of 500 requests that are taken back. */
  readonly parts: number;
  readonly times: number;
  /** Each of 2,000 frames without effect. */
  readonly oddParts: number;
}

function floodsOf({ parts, times, oddParts }: Figures): readonly Flood[] {
  const often = 40;
  const odd = (name: string, make: () => Buffer): Flood => ({
    name,
    parts: Array.from({ length: oddParts }, () => repeat(2_000, make)),
    times,
  });
  const each = 500;
  const manyTimes = (make: (stream: number) => Buffer) =>
    Array.from({ length: parts }, (_, part) => repeat(each, (at) => make(1 + 2 * (part * each + at))));
  return [
    {
      name: 'rapid reset',
      parts: manyTimes((stream) => Buffer.concat([headers(stream, request), rst(stream, 8)])),
      times,
    },
    {
      name: 'resets that we are made to send',
      parts: manyTimes((stream) => Buffer.concat([headers(stream, post, 4), windowUpdate(stream, 0)])),
      times,
    },
    {
      name: 'CONTINUATION without end',
      parts: [
        Buffer.concat([headers(1, request, 1), repeat(12, () => continuation(1, Buffer.alloc(4096), 0))]),
      ],
      times: often,
    },
    {
      name: 'an HPACK bomb',
      parts: [
        Buffer.concat([
          settings([[4, 0]]),
          headers(1, seed),
          headers(3, Buffer.concat([request, Buffer.alloc(8000, 0xbe)])),
        ]),
      ],
      times: often,
    },
    { name: 'PING', parts: [repeat(2_000, () => ping())], times: often },
    { name: 'SETTINGS', parts: [repeat(2_000, () => settings([[3, 100]]))], times: often },
    {
      name: 'empty DATA',
      parts: [Buffer.concat([headers(1, post, 4), repeat(500, () => data(1, ''))])],
      times: often,
    },
    {
      name: 'WINDOW_UPDATE',
      parts: [Buffer.concat([headers(1, post, 4), repeat(2_000, () => windowUpdate(1, 1))])],
      times: often,
    },
    odd('PRIORITY', () => priority(1, 3)),
    odd('PRIORITY_UPDATE', () => frame(0x10, 0, 0, Buffer.from('\0\0\0\u0001u=1'))),
    odd('frames of an unknown type', () => frame(0xfa, 0, 0)),
  ];
}

/** On a link they have no figure of their own: what one carries of them is what its callers' applications write. */
const smallData: Flood = {
  name: 'DATA of one byte each',
  parts: [Buffer.concat([headers(1, post, 4), repeat(3_000, () => data(1, 'x'))])],
  times: 40,
};

interface Door {
  readonly name: string;
  readonly floods: readonly Flood[];
  connect(target: Target): Socket;
  /** Starts somebody else's request; `done` gets its status, or what broke. */
  ask(target: Target, done: (status: number | Error) => void): void;
}

interface Target {
  readonly plainPort: number;
  readonly linkPort: number;
  readonly bundle: IdentityBundle;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let link: ReturnType<typeof connectHttp2> | undefined;

const tlsOf = ({ linkPort, bundle }: Target) => ({
  port: linkPort,
  host: '127.0.0.1',
  key: bundle.privateKey,
  cert: bundle.certificateChain,
  ca: bundle.trustBundle,
  servername: serverName,
  ALPNProtocols: ['h2'],
  checkServerIdentity: () => undefined,
});

const doors: readonly Door[] = [
  {
    name: 'a plaintext port',
    floods: [...floodsOf({ parts: 2, times: 20, oddParts: 1 }), smallData],
    connect: ({ plainPort }) => connect(plainPort, '127.0.0.1'),
    ask({ plainPort }, done) {
      const call = get({ host: '127.0.0.1', port: plainPort, path: '/', agent }, (response) => {
        response.resume();
        response.on('end', () => done(response.statusCode ?? 0));
      });
      call.on('error', done);
    },
  },
  {
    name: 'the link port',
    floods: floodsOf({ parts: 40, times: 3, oddParts: 50 }),
    connect: (target) => connectTls(tlsOf(target)),
    ask(target, done) {
      link ??= connectHttp2(`https://127.0.0.1:${target.linkPort}`, tlsOf(target)).on('error', done);
      const stream = link.request({ ':path': '/', 'heddle-port': String(port) });
      let status = 0;
      stream.on('response', (head) => {
        status = head[':status'] ?? 0;
      });
      stream.on('error', done);
      stream.resume();
      stream.on('end', () => done(status));
    },
  },
];

for (const door of doors) {
  describe(`HTTP/2 floods at ${door.name}`, () => {
    const scope = suiteScope();
    let sidecar: RunningProcess;
    let target: Target;
    let adminPort = 0;
    let neighbour: Neighbour;

    before(async () => {
      const app = createServer((message, response) => {
        message.resume();
        response.end('hello');
      });
      const appPort = await listen(scope, app);
      const served = { port, appPort, protocol: 'http', mtls: 'permissive' } as const;
      const { mesh, receiver } = await describePair({ ports: [served] });
      // As agents start it: without them V8 grows its young generation and keeps it.
      sidecar = await startStaticSide(scope, mesh, receiver, { nodeArgs: sidecarNodeFlags });
      const { admin, apps, link: linkAddress } = receiver.bootstrap;
      adminPort = 'port' in admin ? admin.port : 0;
      target = {
        plainPort: apps[0]?.plain?.port ?? 0,
        linkPort: linkAddress?.port ?? 0,
        bundle: await mesh.bundle('web'),
      };
      neighbour = new Neighbour((done) => door.ask(target, done));
      neighbour.start();
      await eventually(() => neighbour.answered >= warmUpRequests, { withinMs: 60_000, what: 'the warm-up' });
      // The first flood of each kind compiles code; what stays of that is not the flood's.
      for (const { parts } of door.floods) await flood(door.connect(target), parts);
    });
    after(() => {
      neighbour.isStopped = true;
      agent.destroy();
      link?.destroy();
    });

    for (const { name, parts, times } of door.floods) {
      it(`${name}: ends with GOAWAY, costs nobody else anything`, async (t) => {
        const baseBytes = await settledBytes(sidecar.pid, 2 * mib);
        const before = neighbour.answered;
        const floodsBefore = await floodsCounted(adminPort);
        let peakBytes = baseBytes;
        const watch = setInterval(() => {
          peakBytes = Math.max(peakBytes, residentBytes(sidecar.pid));
        }, 50);
        const codes: (number | undefined)[] = [];
        try {
          for (let at = 0; at < times; at++) codes.push(await flood(door.connect(target), parts));
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
        assert.equal((await floodsCounted(adminPort)) - floodsBefore, times);
        assert.equal(sidecar.status, undefined);
      });
    }
  });
}

async function floodsCounted(adminPort: number): Promise<number> {
  const { body } = await ask(adminPort, { path: '/metrics' });
  return Number(/^heddle_floods_total (\d+)$/m.exec(body)?.[1]);
}

/** Sends a flood on a connection of its own; the code of the GOAWAY that ended it, or undefined. */
function flood(
  socket: Socket,
  [first = Buffer.of(), ...rest]: readonly Buffer[],
): Promise<number | undefined> {
  const received: Buffer[] = [];
  let tail: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk);
    tail = Buffer.concat([tail.subarray(1 - pong.length), chunk]);
    // The answer to our PING: all before it was read.
    if (rest.length === 0 || !tail.includes(pong)) return;
    tail = Buffer.alloc(0);
    send(rest.shift() ?? Buffer.of());
  });
  socket.on('error', () => {});
  const send = (part: Buffer) => socket.write(rest.length > 0 ? Buffer.concat([part, ping(next)]) : part);
  socket.write(Buffer.concat([preface, settings()]));
  send(first);
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`a flooding connection was still open after ${closedWithinMs} ms`));
    }, closedWithinMs);
    socket.on('close', () => {
      clearTimeout(late);
      const goaway = readFrames(Buffer.concat(received)).find(({ type }) => type === 7);
      resolve(goaway?.payload.readUInt32BE(4));
    });
  });
}

const next = Buffer.from('nextpart');
const pong = ping(next, 1);

/** Somebody else's requests, one after the other on a connection that is kept. */
class Neighbour {
  answered = 0;
  isStopped = false;
  readonly errors: string[] = [];
  readonly #ask: (done: (status: number | Error) => void) => void;

  constructor(ask: (done: (status: number | Error) => void) => void) {
    this.#ask = ask;
  }

  start(): void {
    this.#ask((status) => {
      if (this.isStopped) return;
      if (status === 200) this.answered++;
      else this.errors.push(String(status));
      setImmediate(() => this.start());
    });
  }
}
