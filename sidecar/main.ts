/** `heddle sidecar`: the only reader of the environment and caller of `process.exit` in the sidecar. */
import type { Command } from 'commander';
import { systemClock } from '../kit/clock.ts';
import { messageOf } from '../kit/errors.ts';
import { createLog, type Log, type LogLevel } from '../kit/log.ts';
import { defaultMemoryLimit, parseMemorySize, releaseMemory, requireShares } from './memory.ts';
import { inheritedDescriptors } from './net/listen-fd.ts';
import { type DataPlane, type Running, runStatic, runWithAgent } from './run.ts';
import { InheritedSockets, type OpenSocket, startSuccessor, successorReady } from './succession.ts';
import type { ToWorker } from './workers/messages.ts';
import { createWorker } from './workers/work.ts';

/** From being ready until the garbage of the start is given back. */
const tidyMs = 1_000;

interface RunFlags {
  readonly config?: string;
  readonly agent?: string;
  readonly instance?: string;
  readonly logLevel: LogLevel;
  readonly memoryLimit?: string;
  readonly workers: number;
  readonly printReady?: boolean;
}

export function sidecarCommands(program: Command): void {
  const sidecar = program
    .command('sidecar')
    .description('the data plane beside one service instance')
    .addHelpText('after', '\nExamples:\n  heddle sidecar run --config ./orders.json');
  sidecar
    .command('run')
    .description('carry the traffic of one instance, configured by a file or by the node agent')
    .option(
      '--config <file>',
      'run from a static file, with neither agent nor pilot (see `heddle pilot build`)',
    )
    .option('--agent <socket>', "the instance's Unix socket on the node agent")
    .option('--instance <id>', 'which instance: NAMESPACE/WORKLOAD.INDEX@NODE (with --agent)')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option(
      '--memory-limit <size>',
      "bytes, or with Ki, Mi, Gi; by default the control group's limit, at most 1Gi; workers share it",
    )
    .option(
      '--workers <count>',
      'processes that share the listening sockets; limits are per worker, counters are sums',
      parseWorkers,
      1,
    )
    .option('--print-ready', 'print one JSON line on standard output when serving')
    .addHelpText(
      'after',
      `
Examples:
  heddle sidecar run --config ./orders.json
  heddle sidecar run --agent /run/heddle/shop-orders-0.sock --instance shop/orders.0@node-1

On SIGTERM the sidecar drains: it stops accepting, lets requests in flight end (30 s at most) and exits with 0.
On SIGHUP it starts its successor on the same listening sockets and drains once that one serves; nothing is lost.`,
    )
    .action((flags: RunFlags) => run(flags));
  sidecar.command('work', { hidden: true }).description('one of several workers').action(work);
}

async function run(flags: RunFlags): Promise<void> {
  const log = createLog({ program: 'sidecar', level: flags.logLevel });
  let running: Running | undefined;
  const ending = new AbortController();
  const end = (error: unknown) => {
    if (error !== undefined) fail(error);
    ending.abort();
    // Told to end before it serves: there is nothing to wait for.
    if (running === undefined) process.exit(0);
    running.drain().then(
      () => process.exit(0),
      (thrown: unknown) => fail(thrown),
    );
  };
  const onReady = (sidecar: DataPlane) => {
    log.info('sidecar ready', sidecar.addresses);
    // What only the start needed; a sidecar may then lie still for days.
    systemClock.after(tidyMs, releaseMemory);
    process.send?.(successorReady, undefined, undefined, ignoreGone);
    process.channel?.unref();
    if (flags.printReady) process.stdout.write(`${JSON.stringify({ ready: true, ...sidecar.addresses })}\n`);
  };
  let succession: 'none' | 'under_way' = 'none';
  const replace = () => {
    // Of two successors one would stay for ever beside the other.
    if (running === undefined || succession === 'under_way' || ending.signal.aborted) return;
    succession = 'under_way';
    log.info('starting a successor');
    running.replace().then(
      () => process.exit(0),
      (thrown: unknown) => {
        succession = 'none';
        log.error('successor did not come up, going on', { reason: messageOf(thrown) });
      },
    );
  };
  process.on('SIGHUP', replace);
  process.on('SIGTERM', () => end(undefined));
  process.on('SIGINT', () => end(undefined));
  endOnFault(log, () => running);
  const options = {
    log,
    memoryLimitBytes: memoryLimitOf(flags),
    workers: flags.workers,
    environment: process.env,
    onReady,
    onEnd: end,
    inherited: new InheritedSockets(inheritedDescriptors(process.env, process.pid)),
    startSuccessor: (sockets: readonly OpenSocket[]) => startSuccessor(sockets, process.env, ending.signal),
  };
  try {
    if (flags.config !== undefined) running = await runStatic(flags.config, options);
    else if (flags.agent !== undefined && flags.instance !== undefined) {
      running = runWithAgent({ socketPath: flags.agent, instance: flags.instance }, options);
    } else
      fail(
        new Error(
          'say where the configuration comes from: --config FILE, or --agent SOCKET with --instance ID',
        ),
      );
  } catch (thrown) {
    fail(thrown);
  }
}

/** Whoever started this process may be gone; without somebody who hears of it, that would be a fault of ours. */
function ignoreGone(): void {}

const maxWorkers = 64;

function parseWorkers(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= maxWorkers) return count;
  return fail(new Error(`--workers takes a whole number from 1 to ${maxWorkers}, not '${text}'`));
}

/** A worker hears its group alone, and ends when that is gone: its sockets must not outlive it. */
function work(): void {
  const log = createLog({ program: 'sidecar', level: 'info' });
  const hear = createWorker({
    log,
    inherited: new InheritedSockets(inheritedDescriptors(process.env, process.pid)),
    send: (message) => process.send?.(message, undefined, undefined, ignoreGone),
    onEnd: () => process.exit(process.exitCode ?? 0),
  });
  process.on('uncaughtException', (thrown, origin) => {
    log.error('uncaught fault, ending', {
      origin,
      stack: thrown instanceof Error ? thrown.stack : String(thrown),
    });
    process.exitCode = 1;
    systemClock.after(faultDrainMs, () => process.exit(1));
    hear({ kind: 'drain', how: 'stop' });
  });
  process.on('message', (message) => hear(message as ToWorker));
  process.on('disconnect', () => hear({ kind: 'drain', how: 'stop' }));
  // Signals to the whole group are the group's to answer.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
}

function memoryLimitOf({ memoryLimit, workers }: RunFlags): number {
  try {
    const bytes = memoryLimit === undefined ? defaultMemoryLimit(workers) : parseMemorySize(memoryLimit);
    requireShares(bytes, workers);
    return bytes;
  } catch (thrown) {
    return fail(thrown);
  }
}

/** How long requests in flight may take to end after a fault that nobody caught. */
const faultDrainMs = 5_000;

/**
 * After an error that nobody caught the state of the process is in doubt: it takes nothing new, lets what is in
 * flight end for a moment, and goes; its supervisor starts another.
 */
function endOnFault(log: Log, running: () => Running | undefined): void {
  let isEnding = false;
  process.on('uncaughtException', (thrown, origin) => {
    const stack = thrown instanceof Error ? thrown.stack : String(thrown);
    log.error('uncaught fault, ending', { origin, stack });
    if (isEnding) return;
    isEnding = true;
    process.exitCode = 1;
    const end = () => process.exit(1);
    const sidecar = running();
    if (sidecar === undefined) return end();
    systemClock.after(faultDrainMs, end);
    sidecar.drain().then(end, end);
  });
}

function fail(thrown: unknown): never {
  process.stderr.write(`heddle sidecar: ${messageOf(thrown)}\n`);
  process.exit(1);
}
