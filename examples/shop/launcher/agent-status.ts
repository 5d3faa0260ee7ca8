/** What a node agent says of itself: one line of JSON on a socket in its state folder. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

export interface AgentStatus {
  readonly node: string;
  readonly pid: number;
  readonly pilot: string | null;
  readonly instances: readonly Instance[];
}

export interface Instance {
  /** `NAMESPACE/WORKLOAD.INDEX@NODE`. */
  readonly id: string;
  readonly workload: string;
  readonly state: string;
  readonly reason: string;
  readonly linkPort: number;
  readonly ports: readonly { readonly port: number; readonly plainPort?: number }[];
  readonly sidecarPid: number | null;
  readonly appPid: number | null;
  readonly identity: string;
  readonly certificateEndsMs: number | null;
  /** Its sidecar, for what is beside it. */
  readonly proxy: string;
}

const timeoutMs = 5_000;

export function askAgent(stateDir: string): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(stateDir, 'run', 'control.sock'));
    let text = '';
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('the agent does not answer')));
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    socket.once('error', reject);
    socket.once('end', () => {
      try {
        resolve(JSON.parse(text) as AgentStatus);
      } catch (cause) {
        reject(new Error('the agent answered half a line', { cause }));
      }
    });
  });
}

/** What a running process was told in its environment, such as where its sidecar is. */
export function environmentOf(pid: number): ReadonlyMap<string, string> {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return new Map(
      entries.map((entry): [string, string] => {
        const at = entry.indexOf('=');
        return [entry.slice(0, at), entry.slice(at + 1)];
      }),
    );
  } catch {
    return new Map();
  }
}
