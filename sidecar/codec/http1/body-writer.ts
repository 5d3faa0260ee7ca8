// hot: every body.
/** Writes the bodies of one connection, one after the other, and holds them to what their heads declared. */
import type { Conn } from '../../net/conn.ts';
import type { Field } from '../field.ts';

/**
 * `none`: what is given is not sent, for the answer is to HEAD or may have no body. `length`: exactly so many bytes.
 * `chunked`: our own chunks. `until_close`: the connection's end is the body's. `tunnel`: bytes after 101.
 */
export type BodyMode = 'none' | 'length' | 'chunked' | 'until_close' | 'tunnel';

export class BodyWriter {
  #mode: BodyMode = 'none';
  #left = 0;

  get mode(): BodyMode {
    return this.#mode;
  }

  begin(mode: BodyMode, length: number): void {
    this.#mode = mode;
    this.#left = length;
  }

  /** False where the body would become longer than declared; nothing was written then. */
  write(conn: Conn, chunk: Buffer): boolean {
    switch (this.#mode) {
      case 'none':
        return true;
      case 'length':
        if (chunk.length > this.#left) return false;
        this.#left -= chunk.length;
        conn.write(chunk);
        return true;
      case 'chunked':
        if (chunk.length === 0) return true;
        conn.writeText(`${chunk.length.toString(16)}\r\n`);
        conn.write(chunk);
        conn.writeText('\r\n');
        return true;
      default:
        conn.write(chunk);
        return true;
    }
  }

  /** False where the body is shorter than declared: the connection must not go on as if it were whole. */
  end(conn: Conn, trailers: readonly Field[] | undefined): boolean {
    if (this.#mode === 'length') return this.#left === 0;
    if (this.#mode === 'chunked') conn.writeText(trailers === undefined ? '0\r\n\r\n' : lastChunk(trailers));
    return true;
  }
}

function lastChunk(trailers: readonly Field[]): string {
  let text = '0\r\n';
  for (const field of trailers) text += field.line;
  return `${text}\r\n`;
}
