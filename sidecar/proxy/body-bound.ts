// hot: a comparison per chunk.
/** How long a request's body may be. */
import { MeshError } from '../../kit/errors.ts';
import type { RequestHead } from '../codec/codec.ts';

export const requestLimits = {
  /** A longer body, declared or come: 413. 0 is no bound: bodies pass in pieces and cost no memory for their length. */
  maxBodyKib: 0,
};

/** Bytes of a tunnel are no body. */
export function isTooLong(head: RequestHead, bytes: number): boolean {
  const { maxBodyKib } = requestLimits;
  return maxBodyKib > 0 && bytes > maxBodyKib * 1024 && head.protocol === undefined;
}

export function bodyTooLong(): MeshError {
  const message = `the body is longer than ${requestLimits.maxBodyKib} KiB`;
  return new MeshError('body_too_large', message, { origin: 'local' });
}
