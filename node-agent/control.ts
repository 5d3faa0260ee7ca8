/**
 * The agent's own socket in its state folder: answers each connection with one line of JSON, its status, and closes.
 * For `heddle agent status`, and for whoever stands on the host when no pilot answers.
 */
import { chmodSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { MeshError } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import type { InstanceReport } from '../mesh/placement.ts';
import type { InterceptedPorts } from './intercept/target.ts';
import { maxSocketPath } from './plan/instance-plan.ts';

export interface AgentStatus {
  readonly node: string;
  readonly pid: number;
  /** The pilot that answers now; null while none does. */
  readonly pilot: string | null;
  readonly instances: readonly InstanceStatusLine[];
}

export interface InstanceStatusLine extends InstanceReport {
  /** Process ids; null where it does not run. */
  readonly sidecarPid: number | null;
  readonly appPid: number | null;
  readonly identity: string;
  /** Milliseconds since 1970; null while there is no certificate. */
  readonly certificateEndsMs: number | null;
  /** Its sidecar on loopback, as `HEDDLE_PROXY` has it: any service, by the name in `Host`; empty where there is none. */
  readonly proxy: string;
  /** Null where its sidecar takes no intercepted connections. */
  readonly intercepted: InterceptedPorts | null;
}

const timeoutMs = 5_000;
const absences: Readonly<Record<string, string>> = {
  ENOENT: 'none has run with this state folder; name that of the agent with --state-dir',
  ECONNREFUSED: 'it does not run; start it with `heddle agent run`',
  EACCES: 'it belongs to another user; run this as that one or as root',
};
const maxAnswerBytes = 16 * 1024 * 1024;

export interface ControlSocket {
  close(): void;
}

/** Throws MeshError where the socket cannot be opened. */
export async function openControl(
  stateDir: string,
  status: () => AgentStatus,
  log: Log,
): Promise<ControlSocket> {
  const path = controlPath(stateDir);
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw new MeshError(
      'invalid',
      `the state folder ${stateDir} has too long a path for Unix sockets: choose one of at most ${maxSocketPath - 32} bytes`,
      { origin: 'local' },
    );
  }
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
  const server = createServer((socket) => {
    socket.on('error', (error) => log.debug('control connection lost', { reason: error.message }));
    socket.end(`${JSON.stringify(status())}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  server.on('error', (error) => log.error('control socket failed', { path, reason: error.message }));
  chmodSync(path, 0o600);
  return { close: () => void server.close() };
}

/** What the agent with this state folder says of itself. Throws MeshError `unavailable` where none runs. */
export function askStatus(stateDir: string): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    const path = controlPath(stateDir);
    const fail = (reason: string): void => {
      socket.destroy();
      const message = `no agent answers on ${path}: ${reason}`;
      reject(new MeshError('unavailable', message, { origin: 'upstream' }));
    };
    const socket = connect(path);
    let text = '';
    socket.setEncoding('utf8').setTimeout(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
    socket.on('error', (error: NodeJS.ErrnoException) => fail(absences[error.code ?? ''] ?? error.message));
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > maxAnswerBytes) fail('its answer does not end');
    });
    socket.on('end', () => {
      try {
        resolve(JSON.parse(text) as AgentStatus);
      } catch {
        fail('its answer is cut short');
      }
    });
  });
}

function controlPath(stateDir: string): string {
  return join(stateDir, 'run', 'control.sock');
}
