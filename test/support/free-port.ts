/** Ports that nothing listens on, never the same twice in one process. */
import { createServer } from 'node:net';

const given = new Set<number>();
const maxTries = 50;

/** A free port on loopback. Another process may take it before it is used: callers retry or fail loudly. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < maxTries; tries++) {
    const port = await ephemeralPort();
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no fresh port in ${maxTries} tries`);
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

function ephemeralPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
