/** Clients that ask for a large body, take its beginning, and then hardly read, over HTTP/1.1 or HTTP/2. */
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { connect, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { defer } from './cleanup.ts';
import { limitKernelBuffer } from './kernel-buffers.ts';

export interface SlowReaders {
  /** Responses that have begun. */
  readonly begun: number;
  /** Ended before their body did. */
  readonly broken: number;
  /** Reads on as fast as it can; resolves with the body bytes of all when they have ended. */
  readAll(): Promise<number>;
}

export interface SlowReadersInit {
  readonly protocol: 'http' | 'http2';
  readonly port: number;
  readonly count: number;
  readonly path: string;
  readonly bodyBytes: number;
}

/** What each takes a second: little, but so that its TCP says within the sidecar's stall times that it reads. */
const stepBytes = 4096;
/** What the kernel may hold for a reader. */
const kernelBytes = 64 * 1024;
/** Streams on one connection of an HTTP/2 client. */
const streamsPerConnection = 50;

export async function startSlowReaders(
  t: Pick<TestContext, 'after'>,
  init: SlowReadersInit,
): Promise<SlowReaders> {
  const readers = await (init.protocol === 'http' ? overHttp1(t, init) : overHttp2(t, init));
  const timer = setInterval(() => {
    for (const reader of readers) reader.step();
  }, 1_000);
  defer(t, () => clearInterval(timer));
  return {
    get begun() {
      return readers.filter(({ hasBegun }) => hasBegun).length;
    },
    get broken() {
      return readers.filter(({ isBroken }) => isBroken).length;
    },
    async readAll() {
      clearInterval(timer);
      const sizes = await Promise.all(readers.map((reader) => reader.finish()));
      return sizes.reduce((sum, size) => sum + size, 0);
    },
  };
}

/** One body that is taken a little at a time. */
class Reader {
  hasBegun = false;
  isBroken = false;
  #got = 0;
  readonly #stream: Socket | ClientHttp2Stream;
  readonly #wanted: number;
  #skipped: boolean;

  /** `skipsHead`: the stream is a socket whose response head is no part of the body. */
  constructor(stream: Socket | ClientHttp2Stream, wanted: number, skipsHead: boolean) {
    this.#stream = stream;
    this.#wanted = wanted;
    this.#skipped = !skipsHead;
    stream.once('readable', () => {
      this.hasBegun = true;
    });
    stream.on('error', () => {
      this.isBroken = true;
    });
    stream.on('close', () => {
      this.isBroken ||= this.#got < wanted;
    });
  }

  step(): void {
    this.#count(this.#stream.read(stepBytes) as Buffer | null);
  }

  async finish(): Promise<number> {
    const stream = this.#stream;
    await new Promise<void>((resolve) => {
      const check = () => {
        if (this.#got >= this.#wanted) {
          stream.destroy();
          resolve();
        }
      };
      stream.on('close', resolve);
      stream.on('data', (chunk: Buffer) => {
        this.#count(chunk);
        check();
      });
      check();
    });
    return this.#got;
  }

  #count(chunk: Buffer | null): void {
    if (chunk === null) return;
    let size = chunk.length;
    if (!this.#skipped) {
      // The head is a few hundred bytes, so the first piece holds it whole.
      size -= chunk.indexOf('\r\n\r\n') + 4;
      this.#skipped = true;
    }
    this.#got += size;
  }
}

async function overHttp1(t: Pick<TestContext, 'after'>, init: SlowReadersInit): Promise<Reader[]> {
  const readers: Reader[] = [];
  for (let n = 0; n < init.count; n++) {
    const socket = connect({ port: init.port, host: '127.0.0.1' });
    defer(t, () => void socket.destroy());
    await once(socket, 'connect');
    limitKernelBuffer(socket, 'receive', kernelBytes);
    readers.push(new Reader(socket, init.bodyBytes, true));
    socket.write(`GET ${init.path} HTTP/1.1\r\nhost: shop\r\n\r\n`);
  }
  return readers;
}

async function overHttp2(t: Pick<TestContext, 'after'>, init: SlowReadersInit): Promise<Reader[]> {
  const readers: Reader[] = [];
  let session: ClientHttp2Session | undefined;
  for (let n = 0; n < init.count; n++) {
    if (n % streamsPerConnection === 0) {
      const opened = connectHttp2(`http://127.0.0.1:${init.port}`);
      opened.on('error', () => {});
      defer(t, () => void opened.destroy());
      await once(opened, 'remoteSettings');
      if (opened.socket instanceof Socket) limitKernelBuffer(opened.socket, 'receive', kernelBytes);
      session = opened;
    }
    const stream = (session as ClientHttp2Session).request({ ':path': init.path, ':authority': 'shop' });
    readers.push(new Reader(stream, init.bodyBytes, false));
  }
  return readers;
}
