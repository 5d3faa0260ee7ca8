/** A steady load on keep-alive connections that counts what fails, for tests that change things meanwhile. */
import { Agent, type IncomingMessage, request } from 'node:http';

export interface LoadTotals {
  readonly sent: number;
  /** What went wrong, one line each. */
  readonly failures: readonly string[];
}

export interface SteadyLoad {
  readonly sent: number;
  readonly failures: readonly string[];
  /** Ends the load and waits for what is in flight. */
  stop(): Promise<LoadTotals>;
}

export interface LoadOptions {
  readonly port: number;
  readonly host?: string;
  readonly path?: string;
  readonly connections?: number;
}

/** Each connection sends its next request when the last was answered. */
export function startLoad({ port, host = 'shop', path = '/', connections = 8 }: LoadOptions): SteadyLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const failures: string[] = [];
  let sent = 0;
  let isRunning = true;
  const one = () =>
    new Promise<void>((resolve) => {
      const fail = (why: string) => {
        failures.push(why);
        resolve();
      };
      const outgoing = request(
        { host: '127.0.0.1', port, path, agent, headers: { host } },
        (response: IncomingMessage) => {
          response.resume();
          response.on('end', () =>
            response.statusCode === 200 ? resolve() : fail(`status ${response.statusCode}`),
          );
          response.on('error', (error) => fail(error.message));
        },
      );
      outgoing.on('error', (error) => fail(error.message));
      outgoing.end();
    });
  const loops = Array.from({ length: connections }, async () => {
    while (isRunning) {
      await one();
      sent++;
    }
  });
  return {
    get sent() {
      return sent;
    },
    failures,
    async stop() {
      isRunning = false;
      await Promise.all(loops);
      agent.destroy();
      return { sent, failures };
    },
  };
}
