/** Bytes that belong to a number, the same on both ends of the mesh. */
import { createHash } from 'node:crypto';

export const downloadBytes = 1024 * 1024;

export function bytesFor(seq: number, size: number): Buffer {
  return Buffer.alloc(size, Buffer.from(`${seq}:${hashOf(String(seq))};`));
}

export function hashOf(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}
