/** A steady load on keep-alive connections that counts what fails, for tests that change things meanwhile. */
import { Agent, type IncomingMessage, request } from 'node:http';
import { defer, type Scope } from './cleanup.ts';

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
  /** Between an answer and the next request, so that the machine is not all load. */
  readonly pauseMs?: number;
  /** Says what is wrong with a good answer's body; undefined where nothing is. */
  readonly check?: (body: string) => string | undefined;
}

/** The same, ended with the test at the latest, so that a failing one does not hang. */
export function startLoadFor(t: Scope, options: LoadOptions): SteadyLoad {
  const load = startLoad(options);
  defer(t, async () => void (await load.stop()));
  return load;
}

/** Each connection sends its next request when the last was answered. */
export function startLoad(options: LoadOptions): SteadyLoad {
  const { port, host = 'shop', path = '/', connections = 8, pauseMs = 0, check = () => undefined } = options;
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
          let body = '';
          response.setEncoding('utf8').on('data', (part: string) => {
            body += part;
          });
          response.on('end', () => {
            const wrong =
              response.statusCode === 200 ? check(body) : `status ${response.statusCode}: ${body}`;
            if (wrong === undefined) resolve();
            else fail(wrong);
          });
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
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
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
