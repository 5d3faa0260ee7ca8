/** Where pilots are, as operators write it, and which of our own addresses leads there. */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { MeshError } from '../../kit/errors.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const shape = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/;

/** Reads `HOST:PORT` or `[IPV6]:PORT`. Throws MeshError `invalid`. */
export function parseHostPort(text: string): HostPort {
  const [, v6, name, port] = shape.exec(text) ?? [];
  const host = v6 ?? name;
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new MeshError('invalid', `pilot address ${JSON.stringify(text)} is not HOST:PORT`, {
      origin: 'local',
    });
  }
  return { host, port: Number(port) };
}

export function formatHostPort({ host, port }: HostPort): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The address by which this host reaches `target`: what other nodes of that network can reach it by. */
export async function addressTowards(target: HostPort): Promise<string> {
  const family = isIP(target.host) === 6 ? 'udp6' : 'udp4';
  const found = await new Promise<string | undefined>((resolve) => {
    const socket = createSocket(family);
    const end = (address: string | undefined): void => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => end(undefined));
    // Nothing is sent: the kernel only picks the route.
    socket.connect(target.port, target.host, () => end(socket.address().address));
  });
  return found ?? outsideAddress() ?? '127.0.0.1';
}

function outsideAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}

/** The loopback addresses that this host has. */
export function loopbackAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const has = (wanted: string) => addresses.some(({ address }) => address === wanted);
  return has('::1') ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
}
