/** Memory row M4: HTTP/2 clients that never open a window cost a bounded piece of memory, and then their streams. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { limits } from '../../sidecar/codec/http2/limits.ts';
import { defer } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { block, frame, headers, preface, settings } from '../support/http2-frames.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import { collectable, liveBytes } from '../support/process-memory.ts';
import { scaled } from '../support/scale.ts';
import { describePair, startStaticSide } from '../support/static-pair.ts';
import { startLoadFor } from '../support/steady-load.ts';
import { listen } from '../support/tls-bench.ts';

guardLeaks({ settleMs: 30_000 });

const connections = scaled(40, 200);
const streamsEach = limits.plainStreams;
const maxBytesEach = 2 * 1024 * 1024;
/** How long a stream may stand still: long enough to look at the memory. */
const noProgressMs = scaled(20_000, limits.noProgressMs);
const bodyBytes = 256 * 1024;
/** Code that the first such connection compiles, and the growth of windows of the few that are there first. */
const slackBytes = 8e6;

const request = block([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/large'],
  [':authority', 'a'],
]);
const initialWindowSize = 4;

describe('windows that never open', () => {
  it(`${connections} connections with ${streamsEach} streams each stay within 2 MiB each, and lose their streams`, async (t) => {
    const body = Buffer.alloc(bodyBytes, 'x');
    // The application keeps all bodies, and would take so many lost streams for a flood.
    const app = createServer({ maxSessionMemory: 1e4, streamResetBurst: 1e6, streamResetRate: 1e6 });
    app.on('stream', (stream: ServerHttp2Stream, { ':path': path }) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200 });
      stream.end(path === '/large' ? body : 'ok');
    });
    const appPort = await listen(t, app as unknown as Parameters<typeof listen>[1]);
    const served = { port: 80, appPort, protocol: 'http2', mtls: 'permissive' } as const;
    const { mesh, receiver } = await describePair({
      ports: [served],
      sidecarLimits: { 'http2.noProgressMs': noProgressMs },
    });
    const sidecar = await startStaticSide(t, mesh, receiver, { nodeArgs: collectable });
    const port = receiver.bootstrap.apps[0]?.plain?.port ?? 0;
    const load = startLoadFor(t, { port, connections: 2, pauseMs: 5 });
    await eventually(() => load.sent > 500, { withinMs: 30_000, what: 'the warm-up' });
    const rest = await liveBytes(sidecar.pid);

    const seen = { answered: 0, reset: 0, lost: 0 };
    for (let n = 0; n < connections; n++) await openShut(t, port, seen);
    const streams = connections * streamsEach;
    await eventually(() => seen.answered === streams, { withinMs: 60_000, what: 'a head for every stream' });
    const peak = await liveBytes(sidecar.pid);
    assert.equal(seen.reset + seen.lost, 0, 'streams that ended before they were looked at');
    await eventually(() => seen.reset + seen.lost === streams, {
      withinMs: noProgressMs * 3,
      what: 'the end of every stream',
    });
    assert.equal(seen.lost, 0, 'streams that were lost with their connection');
    const eachBytes = Math.max(0, peak - rest) / connections;
    t.diagnostic(`${Math.round(eachBytes / 1024)} KiB each at most`);
    assert.ok(peak - rest <= connections * maxBytesEach + slackBytes, `${eachBytes} bytes each`);
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
  });
});

interface Seen {
  /** Streams with a head, streams that were reset, and others that their connection took along. */
  answered: number;
  reset: number;
  lost: number;
}

/** A connection with all streams that it may have, and no window on any. */
async function openShut(t: TestContext, port: number, seen: Seen): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  defer(t, () => void socket.destroy());
  let left = streamsEach;
  onFrames(socket, ({ type, flags, payload }) => {
    if (type === 1) seen.answered++;
    else if (type === 3) {
      left--;
      seen.reset++;
    } else if (flags === 0) answerFrame(socket, type, payload);
  });
  socket.on('close', () => {
    seen.lost += left;
  });
  await once(socket, 'connect');
  const requests = Array.from({ length: streamsEach }, (_, at) => headers(1 + 2 * at, request));
  socket.write(Buffer.concat([preface, settings([[initialWindowSize, 0]]), ...requests]));
}

/** SETTINGS and PING get their acknowledgement, for otherwise the connection ends before its streams. */
function answerFrame(socket: Socket, type: number, payload: Buffer): void {
  if (type === 4) socket.write(settings([], 1));
  else if (type === 6) socket.write(frame(6, 1, 0, payload));
}

/** Calls with every frame that comes. */
function onFrames(
  socket: Socket,
  see: (frame: { type: number; flags: number; payload: Buffer }) => void,
): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9) {
      const end = 9 + rest.readUIntBE(0, 3);
      if (rest.length < end) return;
      see({ type: rest[3] ?? 0, flags: rest[4] ?? 0, payload: rest.subarray(9, end) });
      rest = rest.subarray(end);
    }
  });
}
