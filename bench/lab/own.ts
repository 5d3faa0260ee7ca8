/** Budgets that need no peer: a sidecar's memory, and what a large configuration costs each request. */
import { connect, type Socket } from 'node:net';
import type { OwnFigure } from './budgets.ts';
import { type Backend, heddle, loadCore, type Running } from './contenders.ts';
import { costOf } from './cost.ts';
import { runH2load } from './h2load.ts';
import type { Lab } from './lab.ts';
import { firstWarmUpSeconds } from './measure.ts';
import { runWrk } from './wrk.ts';

const steadyRate = 1_000;
const idleConnections = 10_000;
const connectingAtOnce = 250;
const restMs = 3_000;
const timesTheRounds = 3;

/** The larger of the pair's two; idle connections are those of a hop, where one process has them all. */
export async function measureMemory(lab: Lab, backend: Backend, fromSource: boolean): Promise<OwnFigure[]> {
  const options = { upstream: 'http1', fromSource } as const;
  const [pair, hop] = [
    await heddle('pair', options).start(lab, backend.http1),
    await heddle('hop', options).start(lab, backend.http1),
  ];
  await wait(restMs);
  const atRest = largestMiB(pair);
  await runH2load({
    ...{ port: pair.port, path: '/some/path', connections: 64, seconds: 10, core: loadCore },
    ...{ kind: 'http1', streams: 1, requestsPerSecond: steadyRate, folder: lab.folder },
  });
  const working = largestMiB(pair);
  const sockets = await openConnections(hop.port, idleConnections);
  await wait(restMs);
  const idle = largestMiB(hop);
  for (const socket of sockets) socket.destroy();
  stop(pair);
  stop(hop);
  return [
    { what: 'RSS of a sidecar at rest', value: atRest, unit: 'MiB', atMost: 70, aim: 60 },
    { what: 'RSS at 1,000 requests/s', value: working, unit: 'MiB', atMost: 90, aim: 75 },
    { what: 'RSS with 10,000 idle connections', value: idle, unit: 'MiB', atMost: 140, aim: 120 },
  ];
}

/**
 * Each size beside the smallest, in turn, for a machine may be slow for a minute; more rounds than others have, because
 * a tenth is to be seen.
 */
export async function measureScale(
  lab: Lab,
  backend: Backend,
  { fromSource, seconds, rounds }: { fromSource: boolean; seconds: number; rounds: number },
): Promise<OwnFigure[]> {
  const figures: OwnFigure[] = [];
  for (const [what, sizes] of [
    ['routes', [1, 100, 10_000]],
    ['endpoints', [10, 1_000, 10_000]],
  ] as const) {
    const started: Running[] = [];
    for (const size of sizes) {
      const more = [`--${what}`, String(size)];
      const pair = heddle('pair', { upstream: 'http1', fromSource, more });
      started.push(await pair.start(lab, backend.http1));
    }
    const costs = await costsOf(started, seconds, rounds * timesTheRounds);
    for (const running of started) stop(running);
    const [least = 0, ...others] = costs;
    for (const [index, cost] of others.entries()) {
      figures.push({
        ...{ what: `CPU per request with ${sizes[index + 1]} ${what} over ${sizes[0]}`, unit: '' },
        ...{ value: cost / least, atMost: 1.1, aim: 1.0 },
      });
    }
  }
  return figures;
}

/** Of each the round that cost least, in microseconds per request; before the first all are warmed up. */
async function costsOf(all: readonly Running[], seconds: number, rounds: number): Promise<number[]> {
  const costs = all.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [index, { port, pids }] of all.entries()) {
      const before = costOf(pids).cpuUs;
      const isWarmUp = round < 0;
      const load = { port, path: '/some/path', connections: 64, core: loadCore };
      const { requests } = await runWrk({ ...load, seconds: isWarmUp ? firstWarmUpSeconds : seconds });
      if (!isWarmUp) costs[index]?.push((costOf(pids).cpuUs - before) / requests);
    }
  }
  return costs.map((each) => Math.min(...each));
}

async function openConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(connectingAtOnce, count - sockets.length) }, () =>
      openConnection(port),
    );
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

function openConnection(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

function largestMiB({ pids }: Running): number {
  return Math.max(...pids.map((pid) => costOf([pid]).rssBytes)) / 2 ** 20;
}

function stop({ starter }: Running): void {
  if (starter !== undefined) process.kill(starter, 'SIGTERM');
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
