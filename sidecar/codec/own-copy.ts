/**
 * Copies for keeping. Node cuts small buffers from blocks of 64 KiB that all share, so that one that is kept keeps its
 * whole block; these have memory of their own.
 */
import { Buffer } from 'node:buffer';

/** `bytes[start .. end]`. */
export function ownCopy(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  bytes.copy(copy, 0, start, end);
  return copy;
}

/** The bytes of a latin1 text. */
export function ownBytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(text.length);
  bytes.write(text, 'latin1');
  return bytes;
}
