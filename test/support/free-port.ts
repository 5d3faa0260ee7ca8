/**
 * Ports that nothing listens on, never the same twice in one process. They are not from the range that the kernel takes
 * for outgoing connections (from 32768 on), nor from that of agents (20000 to 32000): otherwise any connection of another
 * test could take one before it is used.
 */
import { createServer } from 'node:net';

const given = new Set<number>();
const first = 10_000;
const last = 19_999;
const maxTries = 200;

/** A free port on loopback. Another process may take it before it is used: callers retry or fail loudly. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < maxTries; tries++) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port in ${maxTries} tries`);
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
