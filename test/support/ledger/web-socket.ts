/** WebSocket pings on a connection that stays, each answered by a pong with the same bytes (RFC 6455 §5.5). */
import { connect, type Socket } from 'node:net';
import { Ended, Refused } from './misses.ts';

interface Asked {
  readonly resolve: (payload: string) => void;
  readonly reject: (error: Error) => void;
}

const mask = Buffer.from([1, 2, 3, 4]);

export class WebSocketPings {
  isUsable = true;
  readonly #socket: Socket;
  readonly #asked: Asked[] = [];
  #isOpen = false;
  #bytes = Buffer.alloc(0);

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1' });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      if (this.#isOpen || this.#opened()) this.#readPongs();
    });
    this.#socket.on('end', () => this.#lose(new Ended('ended by the peer')));
    this.#socket.on('close', () => this.#lose(new Error('connection broke')));
    this.#socket.write(
      'GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
  }

  /** The payload of the pong. */
  ping(payload: string): Promise<string> {
    const masked = Buffer.from(payload).map((byte, at) => byte ^ (mask[at % 4] as number));
    this.#socket.write(Buffer.concat([Buffer.from([0x89, 0x80 | masked.length]), mask, masked]));
    return new Promise((resolve, reject) => this.#asked.push({ resolve, reject }));
  }

  close(): void {
    this.#socket.destroy();
  }

  #opened(): boolean {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = this.#bytes.subarray(0, end).toString('latin1');
    this.#bytes = this.#bytes.subarray(end + 4);
    this.#isOpen = head.startsWith('HTTP/1.1 101');
    if (!this.#isOpen) {
      this.#lose(new Refused(`${head.slice(9, 12)} ${this.#bytes}`));
      this.#socket.destroy();
    }
    return this.#isOpen;
  }

  #readPongs(): void {
    while (this.#bytes.length >= 2) {
      const end = 2 + (this.#bytes[1] as number);
      if (this.#bytes.length < end) return;
      this.#asked.shift()?.resolve(this.#bytes.subarray(2, end).toString('latin1'));
      this.#bytes = this.#bytes.subarray(end);
    }
  }

  #lose(error: Error): void {
    this.isUsable = false;
    for (const { reject } of this.#asked.splice(0)) reject(error);
  }
}
