/**
 * Where a connection was going before a REDIRECT rule brought it here: SO_ORIGINAL_DST, which conntrack answers.
 *
 * Node has no getsockopt, so libc's is called by `node:ffi`, once per connection. It needs the descriptor of the
 * accepted socket, for which Node has no public name: `_handle.fd` is looked at, and believed only where it is a
 * descriptor. Wherever one of the steps is not to be had (no ffi, no descriptor, no conntrack entry) the answer is
 * undefined, and the caller refuses the connection: a guess could send it to a place that nobody asked for.
 */
import { createRequire } from 'node:module';
import { type Socket, SocketAddress } from 'node:net';
import type { DialTarget } from './dial.ts';

/** The kernel's constants on Linux, the same on x64 and arm64. */
const solIp = 0;
const solIpv6 = 41;
/** SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST have the same number. */
const soOriginalDst = 80;
const afInet = 2;
const afInet6 = 10;
/** `struct sockaddr_in` and `struct sockaddr_in6`. */
const nameBytes4 = 16;
const nameBytes6 = 28;

/** Its original destination, also where that is the listening socket itself; undefined where it cannot be read. */
export function originalDestination(socket: Socket): DialTarget | undefined {
  const getsockopt = loadGetsockopt();
  const fd = descriptorOf(socket);
  if (getsockopt === undefined || fd === undefined) return undefined;
  // An IPv4 caller of a dual-stack listener is asked about as IPv4.
  const isV6 = socket.localFamily === 'IPv6' && !isMapped(socket.localAddress ?? '');
  const name = Buffer.alloc(nameBytes6);
  const size = Buffer.from(Uint32Array.of(isV6 ? nameBytes6 : nameBytes4).buffer);
  const failed = getsockopt(fd, isV6 ? solIpv6 : solIp, soOriginalDst, name, size) !== 0;
  return failed ? undefined : decodeSocketName(name);
}

/** A `struct sockaddr_in` or `sockaddr_in6` in host byte order; undefined for other families and for port 0. */
export function decodeSocketName(name: Buffer): DialTarget | undefined {
  if (name.length < nameBytes4) return undefined;
  const family = name.readUInt16LE(0);
  const port = name.readUInt16BE(2);
  if (port === 0) return undefined;
  if (family === afInet) return { address: name.subarray(4, 8).join('.'), port };
  if (family !== afInet6 || name.length < nameBytes6) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => name.readUInt16BE(8 + 2 * i).toString(16));
  return { address: canonicalAddress(groups.join(':')), port };
}

/**
 * The one way in which an address is written here: IPv6 shortened, in lower case and without zone, a mapped IPv4
 * address as IPv4.
 */
export function canonicalAddress(literal: string): string {
  const bare = literal.split('%', 1)[0] ?? '';
  if (!bare.includes(':')) return bare;
  const { address } = new SocketAddress({ address: bare, family: 'ipv6' });
  return isMapped(address) ? address.slice(mappedPrefix.length) : address;
}

const mappedPrefix = '::ffff:';

function isMapped(address: string): boolean {
  return address.startsWith(mappedPrefix) && address.includes('.');
}

function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

type Getsockopt = (fd: number, level: number, option: number, value: Buffer, size: Buffer) => number;

let getsockoptOnce: Getsockopt | undefined | 'unavailable';

function loadGetsockopt(): Getsockopt | undefined {
  if (getsockoptOnce === undefined) getsockoptOnce = openGetsockopt() ?? 'unavailable';
  return getsockoptOnce === 'unavailable' ? undefined : getsockoptOnce;
}

function openGetsockopt(): Getsockopt | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const ffi = createRequire(import.meta.url)('node:ffi') as typeof import('node:ffi');
    const { functions } = ffi.dlopen(null, {
      getsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'], return: 'i32' },
    });
    return functions.getsockopt;
  } catch {
    // Not built in, switched off, or forbidden by the permission model.
    return undefined;
  }
}
