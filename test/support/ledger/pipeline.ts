/**
 * Pipelined GETs on one connection (RFC 9112 §9.3.2): all that are asked for within a turn leave together. Those behind
 * an answer with `connection: close` were not looked at and go again on the next connection.
 */
import { connect, type Socket } from 'node:net';
import { Refused } from './misses.ts';

interface Asked {
  readonly path: string;
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class Pipeline {
  readonly #port: number;
  #connection: PipelinedConnection | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  get(path: string): Promise<Buffer> {
    return new Promise((resolve, reject) => this.#send({ path, resolve, reject }));
  }

  close(): void {
    this.#connection?.close();
  }

  #send(asked: Asked): void {
    if (this.#connection?.isUsable !== true) {
      this.#connection = new PipelinedConnection(this.#port, (left) => {
        for (const one of left) this.#send(one);
      });
    }
    this.#connection.send(asked);
  }
}

class PipelinedConnection {
  isUsable = true;
  readonly #socket: Socket;
  readonly #onLeftOver: (left: readonly Asked[]) => void;
  #asked: Asked[] = [];
  #bytes = Buffer.alloc(0);

  constructor(port: number, onLeftOver: (left: readonly Asked[]) => void) {
    this.#onLeftOver = onLeftOver;
    this.#socket = connect({ port, host: '127.0.0.1' });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('end', () => {
      this.isUsable = false;
    });
    this.#socket.on('close', () => this.#closed());
  }

  send(asked: Asked): void {
    this.#asked.push(asked);
    this.#socket.write(`GET ${asked.path} HTTP/1.1\r\nhost: shop\r\n\r\n`);
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (let end = this.#bytes.indexOf('\r\n\r\n'); end >= 0; end = this.#bytes.indexOf('\r\n\r\n')) {
      const head = this.#bytes.subarray(0, end).toString('latin1');
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1]);
      if (this.#bytes.length < end + 4 + length) return;
      const body = this.#bytes.subarray(end + 4, end + 4 + length);
      this.#bytes = this.#bytes.subarray(end + 4 + length);
      this.#answered(head, body);
      if (/^connection: *close/im.test(head)) {
        this.#leave();
        return;
      }
    }
  }

  #answered(head: string, body: Buffer): void {
    const asked = this.#asked.shift();
    if (head.startsWith('HTTP/1.1 200')) asked?.resolve(body);
    else asked?.reject(new Refused(`${head.slice(9, 12)} ${body}`));
  }

  /** What is left was not looked at. */
  #leave(): void {
    this.isUsable = false;
    const left = this.#asked;
    this.#asked = [];
    this.#socket.end();
    this.#onLeftOver(left);
  }

  #closed(): void {
    this.isUsable = false;
    for (const { reject } of this.#asked) reject(new Error('connection broke'));
    this.#asked = [];
  }
}
