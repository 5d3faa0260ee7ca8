/** A worker process, from its start to its end. */
import { spawn } from 'node:child_process';
import { MeshError } from '../../kit/errors.ts';
import { listenEnvironment, type OpenSocket } from '../succession.ts';
import type { FromWorker, ToWorker } from './messages.ts';

export interface WorkerProcess {
  readonly pid: number;
  /** Resolves when it serves; rejects where it says it cannot, or ends before. */
  readonly ready: Promise<void>;
  /** Resolves with how it ended. */
  readonly ended: Promise<string>;
  /** Where it listens, once it serves. */
  readonly listening: readonly string[];
  send(message: ToWorker): void;
}

/** Starts this program as a worker on these sockets. A worker whose group is gone ends by itself. */
export function spawnWorker(
  sockets: readonly OpenSocket[],
  environment: Readonly<Record<string, string | undefined>>,
  onMessage: (message: FromWorker) => void,
): WorkerProcess {
  const program = process.argv[1] as string;
  const child = spawn(process.execPath, [...process.execArgv, program, 'sidecar', 'work'], {
    env: listenEnvironment(sockets, environment),
    stdio: ['ignore', 'inherit', 'inherit', ...sockets.map(({ fd }) => fd), 'ipc'],
    serialization: 'advanced',
  });
  let listening: readonly string[] = [];
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(String(signal ?? code)));
  });
  const ready = new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new MeshError('unavailable', `worker: ${why}`, { origin: 'local' }));
    void ended.then((why) => fail(`it ended with ${why} before it served`));
    child.on('message', (message) => {
      const said = message as FromWorker;
      if (said.kind === 'ready') {
        listening = said.listening;
        resolve();
      } else if (said.kind === 'failed') {
        fail(said.message);
        // It ends by that.
        child.disconnect();
      } else onMessage(said);
    });
  });
  // Whoever waits is told; nobody may be waiting any more.
  ready.catch(() => {});
  return {
    pid: child.pid ?? 0,
    ready,
    ended,
    get listening() {
      return listening;
    },
    send(message) {
      if (child.connected) child.send(message, () => {});
    },
  };
}
