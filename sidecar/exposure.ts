/**
 * Whether an application listens beyond loopback. In strict mode nobody may come past the sidecar, but an
 * application that listens on every address lets them; all the sidecar can do is say so.
 */
import { readFile } from 'node:fs/promises';

/** `st` of a listening socket in /proc/net/tcp. */
const listening = '0A';

/** The ports of `ports` on which a socket listens on other addresses than loopback; none where /proc is not there. */
export async function exposedPorts(ports: readonly number[]): Promise<number[]> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const exposed = new Set(tables.flatMap(exposedIn));
  return ports.filter((port) => exposed.has(port));
}

/** The listening ports of one table that are bound beyond loopback. */
export function exposedIn(table: string): number[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, , state] = line.trim().split(/\s+/);
      const [address, port] = (local ?? '').split(':');
      if (state !== listening || address === undefined || port === undefined || isLoopback(address))
        return [];
      return [Number.parseInt(port, 16)];
    });
}

const loopback6 = '00000000000000000000000001000000';
const mapped4 = '0000000000000000FFFF0000';

/** Addresses are hexadecimal, each 32-bit word in host byte order (little-endian here). */
function isLoopback(address: string): boolean {
  const isV4 = address.length === 8 || address.startsWith(mapped4);
  return isV4 ? address.endsWith('7F') : address === loopback6;
}
