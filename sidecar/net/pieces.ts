// hot: every write of several pieces.
/** Text and bytes that leave together, as what a socket can be given. */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';

/** Text is latin1. */
export type Piece = string | Buffer;

/** What one write takes. */
export type Outgoing = Piece | Buffer[];

/** Whether the buffers under `pieces` are more than twice as large as what they carry for us. */
export function keepsMore(pieces: readonly Piece[], size: number): boolean {
  let kept = 0;
  let last: ArrayBufferLike | undefined;
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Piece;
    if (typeof piece === 'string' || piece.buffer === last) continue;
    last = piece.buffer;
    kept += last.byteLength;
  }
  return kept > 2 * size;
}

/** Fills `bytes` with `text` and `pieces`. */
export function joined(text: string, pieces: readonly Piece[], bytes: Buffer): Buffer {
  let at = text.length === 0 ? 0 : bytes.write(text, 0, 'latin1');
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Piece;
    at += typeof piece === 'string' ? bytes.write(piece, at, 'latin1') : piece.copy(bytes, at);
  }
  return bytes;
}

/** `pieces` behind `text`, without a copy of what is bytes already; `pieces` is used up. */
export function buffersOf(text: string, pieces: Piece[]): Buffer[] {
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Piece;
    if (typeof piece === 'string') pieces[i] = Buffer.from(piece, 'latin1');
  }
  if (text.length > 0) pieces.unshift(Buffer.from(text, 'latin1'));
  return pieces as Buffer[];
}

/** The stream's own way, for TLS and for what the handle below refuses. */
export function writeToStream(socket: Socket, data: Outgoing): void {
  if (!Array.isArray(data)) {
    socket.write(data, 'latin1');
    return;
  }
  socket.cork();
  for (let i = 0; i < data.length; i++) socket.write(data[i] as Buffer);
  socket.uncork();
}
