/**
 * Listening sockets whose descriptors are known, so that workers and a successor can inherit them.
 *
 * Node does not tell the descriptor of a socket it opened, therefore it is opened by `node:ffi` and then given to
 * Node by `listen({ fd })`. Never with SO_REUSEPORT: two sidecars of one user would share a port without an error.
 * Where there is no ffi (another platform, permission model) the answer is undefined and Node opens the socket.
 */
import { createRequire } from 'node:module';
import { isIPv6 } from 'node:net';
import { getSystemErrorName } from 'node:util';

export interface SocketAddress {
  /** A literal IPv4 or IPv6 address. */
  readonly host: string;
  readonly port: number;
}

/** A descriptor that a parent or systemd opened for us (sd_listen_fds(3)). */
export interface InheritedDescriptor {
  readonly fd: number;
  /** From LISTEN_FDNAMES, else ''. */
  readonly name: string;
}

/** The variables of sd_listen_fds(3). */
export interface ListenEnvironment {
  readonly LISTEN_FDS?: string | undefined;
  readonly LISTEN_PID?: string | undefined;
  readonly LISTEN_FDNAMES?: string | undefined;
}

/** The kernel's constants on Linux, the same on x64 and arm64. */
const afInet = 2;
const afInet6 = 10;
const sockStream = 1;
const sockNonblock = 0o4000;
const sockCloexec = 0o2000000;
const solSocket = 1;
const soReuseAddr = 2;
const ipprotoIpv6 = 41;
const ipv6V6only = 26;
const firstInheritedFd = 3;
/** A process inherits at most this many listening sockets. */
const maxInherited = 1024;

/**
 * Opens a listening TCP socket and returns its descriptor, close-on-exec (a child gets it through `stdio` of spawn).
 * Undefined where `node:ffi` cannot be used; throws an error with Node's code (`EADDRINUSE`, …) like `listen`.
 */
export function openListeningSocket(address: SocketAddress, backlog: number): number | undefined {
  const libc = loadLibc();
  if (libc === undefined) return undefined;
  const v6 = isIPv6(address.host);
  const fd = libc.socket(v6 ? afInet6 : afInet, sockStream | sockNonblock | sockCloexec, 0);
  if (fd < 0) throw systemError(libc.errno(), 'socket', address);
  const step = (call: string, result: number): void => {
    if (result === 0) return;
    const errno = libc.errno();
    libc.close(fd);
    throw systemError(errno, call, address);
  };
  const on = Buffer.from(Int32Array.of(1).buffer);
  step('setsockopt', libc.setsockopt(fd, solSocket, soReuseAddr, on, 4));
  if (v6) step('setsockopt', libc.setsockopt(fd, ipprotoIpv6, ipv6V6only, on, 4));
  const name = v6 ? socketName6(address) : socketName4(address);
  step('bind', libc.bind(fd, name, name.length));
  step('listen', libc.listen(fd, backlog));
  return fd;
}

/** The descriptors announced by LISTEN_FDS, unless LISTEN_PID says that they are another process's. */
export function inheritedDescriptors(env: ListenEnvironment, pid: number): InheritedDescriptor[] {
  const announced = env.LISTEN_FDS;
  const forPid = env.LISTEN_PID;
  if (announced === undefined || (forPid !== undefined && forPid !== String(pid))) return [];
  const count = Number(announced);
  if (!Number.isInteger(count) || count < 0 || count > maxInherited) return [];
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  return Array.from({ length: count }, (_, i) => ({ fd: firstInheritedFd + i, name: names[i] ?? '' }));
}

interface Libc {
  socket(family: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, size: number): number;
  bind(fd: number, name: Buffer, size: number): number;
  listen(fd: number, backlog: number): number;
  close(fd: number): number;
  errno(): number;
}

let libcOnce: Libc | undefined | 'unavailable';

function loadLibc(): Libc | undefined {
  if (libcOnce === undefined) libcOnce = openLibc() ?? 'unavailable';
  return libcOnce === 'unavailable' ? undefined : libcOnce;
}

function openLibc(): Libc | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const ffi = createRequire(import.meta.url)('node:ffi') as typeof import('node:ffi');
    const { functions } = ffi.dlopen(null, {
      socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
      setsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'], return: 'i32' },
      bind: { arguments: ['i32', 'buffer', 'u32'], return: 'i32' },
      listen: { arguments: ['i32', 'i32'], return: 'i32' },
      close: { arguments: ['i32'], return: 'i32' },
      __errno_location: { arguments: [], return: 'pointer' },
    });
    return {
      socket: functions.socket,
      setsockopt: functions.setsockopt,
      bind: functions.bind,
      listen: functions.listen,
      close: functions.close,
      errno: () => ffi.getInt32(functions.__errno_location(), 0),
    };
  } catch {
    // Not built in, switched off, or forbidden by the permission model.
    return undefined;
  }
}

/** `struct sockaddr_in`. */
function socketName4(address: SocketAddress): Buffer {
  const name = Buffer.alloc(16);
  name.writeUInt16LE(afInet, 0);
  name.writeUInt16BE(address.port, 2);
  name.set(address.host.split('.').map(Number), 4);
  return name;
}

/** `struct sockaddr_in6`, flow and scope 0. */
function socketName6(address: SocketAddress): Buffer {
  const name = Buffer.alloc(28);
  name.writeUInt16LE(afInet6, 0);
  name.writeUInt16BE(address.port, 2);
  name.set(bytesOfIPv6(address.host), 8);
  return name;
}

/** The 16 bytes of a valid literal, also with `::` or a dotted IPv4 tail. */
function bytesOfIPv6(host: string): Uint8Array {
  const dot = host.lastIndexOf('.');
  let text = host;
  if (dot !== -1) {
    const colon = host.lastIndexOf(':');
    const [a = 0, b = 0, c = 0, d = 0] = host
      .slice(colon + 1)
      .split('.')
      .map(Number);
    text = `${host.slice(0, colon + 1)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [left = '', right] = text.split('::');
  const groupsOf = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((g) => Number.parseInt(g, 16));
  const head = groupsOf(left);
  const tail = right === undefined ? [] : groupsOf(right);
  const groups = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  });
  return bytes;
}

function systemError(errno: number, call: string, address: SocketAddress): Error {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${call} ${code} ${address.host}:${address.port}`), { code });
}
