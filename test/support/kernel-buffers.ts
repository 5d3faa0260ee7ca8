/** The kernel's own buffers of a socket, made small: they hold megabytes, and hide who waits for whom. */
import { createRequire } from 'node:module';
import type { Server, Socket } from 'node:net';

const solSocket = 1;
const option = { send: 7, receive: 8 } as const;

/** Sets SO_SNDBUF or SO_RCVBUF (the kernel doubles it); sockets that a server accepts have it from then on. */
export function limitKernelBuffer(holder: Server | Socket, which: keyof typeof option, bytes: number): void {
  const { fd } = (holder as unknown as { _handle: { fd: number } })._handle;
  const ffi = createRequire(import.meta.url)('node:ffi') as typeof import('node:ffi');
  const { functions } = ffi.dlopen(null, {
    setsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'], return: 'i32' },
  });
  const value = Buffer.from(Int32Array.of(bytes).buffer);
  const result = functions.setsockopt(fd, solSocket, option[which], value, value.length);
  if (result !== 0) throw new Error(`setsockopt on descriptor ${fd} failed`);
}
