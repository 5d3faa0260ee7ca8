/** Clients that send large request bodies as fast as they are taken, over HTTP/1.1 or HTTP/2. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { defer } from './cleanup.ts';
import { limitKernelBuffer } from './kernel-buffers.ts';
import { type PourState, pour } from './pour.ts';

export interface Uploads extends Readonly<PourState> {
  /** What the answers say, once there is one to each. */
  answers(): Promise<string[]>;
}

export interface UploadsInit {
  readonly protocol: 'http' | 'http2';
  readonly port: number;
  readonly count: number;
  readonly bodyBytes: number;
}

/** What the kernel may hold of a sender. */
const kernelBytes = 64 * 1024;
/** Streams on one connection of an HTTP/2 client. */
const streamsPerConnection = 50;

export async function startUploads(t: Pick<TestContext, 'after'>, init: UploadsInit): Promise<Uploads> {
  const state: PourState = { sentBytes: 0, blocked: 0 };
  const answers = await (init.protocol === 'http' ? overHttp1(t, init, state) : overHttp2(t, init, state));
  return {
    get sentBytes() {
      return state.sentBytes;
    },
    get blocked() {
      return state.blocked;
    },
    answers: () => Promise.all(answers),
  };
}

async function overHttp1(
  t: Pick<TestContext, 'after'>,
  { port, count, bodyBytes }: UploadsInit,
  state: PourState,
): Promise<Promise<string>[]> {
  const answers: Promise<string>[] = [];
  for (let n = 0; n < count; n++) {
    const socket = connect({ port, host: '127.0.0.1' });
    defer(t, () => void socket.destroy());
    await once(socket, 'connect');
    limitKernelBuffer(socket, 'send', kernelBytes);
    answers.push(textOf(socket).then((text) => text.slice(text.indexOf('\r\n\r\n') + 4)));
    const fields = `host: shop\r\nconnection: close\r\ncontent-length: ${bodyBytes}`;
    socket.write(`POST /upload HTTP/1.1\r\n${fields}\r\n\r\n`);
    // Not ended: who ends its side of an HTTP/1.1 connection may be taken for gone.
    pour(bodyBytes, withoutEnd(socket), state);
  }
  return answers;
}

async function overHttp2(
  t: Pick<TestContext, 'after'>,
  { port, count, bodyBytes }: UploadsInit,
  state: PourState,
): Promise<Promise<string>[]> {
  const answers: Promise<string>[] = [];
  let session: ClientHttp2Session | undefined;
  for (let n = 0; n < count; n++) {
    if (n % streamsPerConnection === 0) {
      const opened = connectHttp2(`http://127.0.0.1:${port}`);
      opened.on('error', () => {});
      defer(t, () => void opened.destroy());
      await once(opened, 'remoteSettings');
      if (opened.socket instanceof Socket) limitKernelBuffer(opened.socket, 'send', kernelBytes);
      session = opened;
    }
    const head = { ':method': 'POST', ':path': '/upload', ':authority': 'shop', 'content-length': bodyBytes };
    const stream = (session as ClientHttp2Session).request(head);
    answers.push(textOf(stream));
    pour(bodyBytes, stream, state);
  }
  return answers;
}

/** All that comes until the end, or until it breaks. */
function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.setEncoding('latin1');
    stream.on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('error', (error) => resolve(`${text} broken: ${error}`));
    stream.on('close', () => resolve(text));
  });
}

function withoutEnd(socket: Socket): Parameters<typeof pour>[1] {
  return {
    write: (chunk) => socket.write(chunk),
    end: (chunk) => void (chunk && socket.write(chunk)),
    once: (event, listener) => socket.once(event, listener),
    off: (event, listener) => socket.off(event, listener),
  };
}
