/** Ways to leave a connection badly, at any point of a conversation. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { within } from './eventually.ts';

/** What is said before the connection is left. */
export interface Conversation {
  readonly state: string;
  readonly says: readonly (string | Buffer)[];
  /** Leaves only after this much has come back. */
  readonly hears?: RegExp;
}

export type Leaving = 'reset' | 'half-close' | 'garbage';
export const leavings: readonly Leaving[] = ['reset', 'half-close', 'garbage'];

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
const settings = frame(4, 0, 0, Buffer.alloc(0));
const text = (value: string): Buffer =>
  Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
/** `:method`, `:scheme http`, `:path`, `:authority shop` and the port that links name, without Huffman. */
const headersOf = (method: number, path: string): Buffer =>
  Buffer.concat([
    Buffer.from([method, 0x86, 0x04]),
    text(path),
    Buffer.from([0x01]),
    text('shop'),
    Buffer.from([0x00]),
    text('heddle-port'),
    text('80'),
  ]);
const get = 0x82;
const post = 0x83;

export const http1States: readonly Conversation[] = [
  { state: 'silent', says: [] },
  { state: 'in the request line', says: ['GET /a'] },
  { state: 'in the head', says: ['GET / HTTP/1.1\r\nhost: sh'] },
  {
    state: 'after the head of a POST',
    says: ['POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\n'],
  },
  {
    state: 'in a body',
    says: ['POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\n', 'x'.repeat(50)],
  },
  {
    state: 'in a chunk',
    says: ['POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n', '40\r\nabc'],
  },
  { state: 'waiting for an answer', says: ['GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n'] },
  { state: 'in an answer', says: ['GET /stream HTTP/1.1\r\nhost: shop\r\n\r\n'], hears: /tick/ },
  {
    state: 'with requests in line',
    says: ['GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n'.repeat(3)],
  },
  {
    state: 'waiting for 101',
    says: [
      'GET /slow HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n',
      'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    ],
  },
];

export const http2States: readonly Conversation[] = [
  { state: 'in the preface', says: [preface.slice(0, 10)] },
  { state: 'after the preface', says: [preface] },
  { state: 'in a frame header', says: [preface, settings, settings.subarray(0, 4)] },
  { state: 'in a header block', says: [preface, settings, frame(1, 0, 1, headersOf(get, '/'))] },
  { state: 'in a request body', says: [preface, settings, frame(1, 4, 1, headersOf(post, '/'))] },
  { state: 'waiting for an answer', says: [preface, settings, frame(1, 5, 1, headersOf(get, '/slow'))] },
  {
    state: 'in an answer',
    says: [preface, settings, frame(1, 5, 1, headersOf(get, '/stream'))],
    hears: /tick/,
  },
];

export const tlsStates: readonly Conversation[] = [
  { state: 'silent', says: [] },
  { state: 'in a ClientHello', says: [Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])] },
  { state: 'with a record of another protocol', says: [Buffer.from([0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5])] },
];

export interface Target {
  readonly port: number;
  /** Speaks TLS with this identity first. */
  readonly tls?: { readonly bundle: IdentityBundle; readonly serverName: string };
}

/** Holds a conversation and leaves it; resolves when the connection is gone on our side. */
export async function leave(target: Target, conversation: Conversation, how: Leaving): Promise<void> {
  const raw = connect({ port: target.port, host: '127.0.0.1', allowHalfOpen: true });
  raw.on('error', () => {});
  const closed = new Promise<void>((resolve) => raw.on('close', () => resolve()));
  await once(raw, 'connect');
  const speaker = target.tls === undefined ? raw : await secure(raw, target.tls);
  speaker.on('error', () => {});
  let heard = '';
  const hears = new Promise<void>((resolve) => {
    speaker.on('data', (chunk: Buffer) => {
      heard = (heard + chunk.toString('latin1')).slice(-1_000);
      if (conversation.hears?.test(heard)) resolve();
    });
    speaker.on('close', () => resolve());
  });
  for (const words of conversation.says) {
    speaker.write(words as string, 'latin1');
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (conversation.hears !== undefined) await within(hears, `an answer while ${conversation.state}`);
  if (how === 'reset') raw.resetAndDestroy();
  else if (how === 'half-close') {
    speaker.end();
    // It may be answered for ever; a moment of half-close is enough.
    await new Promise((resolve) => setTimeout(resolve, 20));
    raw.destroy();
  } else {
    speaker.write(Buffer.from(Array.from({ length: 3_000 }, (_, at) => (at * 73 + 11) % 256)));
    await new Promise((resolve) => setTimeout(resolve, 20));
    raw.resetAndDestroy();
  }
  await closed;
}

function secure(raw: Socket, { bundle, serverName }: NonNullable<Target['tls']>): Promise<Socket> {
  const socket = connectTls({
    socket: raw,
    key: bundle.privateKey,
    cert: bundle.certificateChain,
    ca: bundle.trustBundle,
    servername: serverName,
    ALPNProtocols: ['h2'],
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => {});
  return once(socket, 'secureConnect').then(() => socket);
}
