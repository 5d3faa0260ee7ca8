/**
 * An open-loop mix of traffic that keeps books: every request has a number, every body a hash, and in the end each
 * is answered right, wrong, or lost. Requests leave by the clock, however slowly answers come.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { within } from './eventually.ts';

export interface LedgerInit {
  /** The caller's outbound port. */
  readonly port: number;
  readonly requestsPerSecond: number;
}

export interface Books {
  readonly sent: number;
  readonly right: number;
  /** Answered with other bytes than expected, one line each. */
  readonly wrong: readonly string[];
  /** Not answered, or by an error, one line each. */
  readonly lost: readonly string[];
  readonly byKind: Readonly<Record<string, number>>;
}

type Kind = 'get' | 'post' | 'chunked' | 'download' | 'grpc' | 'poll' | 'ping';
/** How often each kind comes up; pings run beside. */
const mix: readonly (readonly [Kind, number])[] = [
  ['get', 60],
  ['post', 14],
  ['chunked', 14],
  ['grpc', 9],
  ['download', 2],
  ['poll', 1],
];
const total = mix.reduce((sum, [, weight]) => sum + weight, 0);
const tickMs = 10;
const pingMs = 1_000;
/**
 * Below the time that a draining sidecar waits for one more request on an idle connection: a client that keeps them
 * longer may find one closed under its request, as with any server (RFC 9112 §9.5), and has to send it again.
 */
const idleMs = 500;
const answerMs = 60_000;
export const downloadBytes = 1024 * 1024;
export const postBytes = 64 * 1024;

export class Ledger {
  readonly #init: LedgerInit;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64, timeout: idleMs });
  readonly #wrong: string[] = [];
  readonly #lost: string[] = [];
  readonly #byKind: Record<string, number> = {};
  readonly #inFlight = new Set<Promise<void>>();
  readonly #timers: NodeJS.Timeout[] = [];
  #session: ClientHttp2Session | undefined;
  #webSocket: Socket | undefined;
  #sent = 0;
  #right = 0;

  constructor(init: LedgerInit) {
    this.#init = init;
  }

  start(): void {
    const startedMs = performance.now();
    let due = 0;
    this.#timers.push(
      setInterval(() => {
        const seconds = (performance.now() - startedMs) / 1_000;
        for (; due < seconds * this.#init.requestsPerSecond; due++) this.#launch(kindOf(due));
      }, tickMs),
      setInterval(() => this.#launch('ping'), pingMs),
    );
  }

  /** Sends nothing more, waits for what is in flight, and closes the books. */
  async close(): Promise<Books> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#inFlight);
    this.#agent.destroy();
    this.#session?.close();
    this.#webSocket?.destroy();
    return {
      sent: this.#sent,
      right: this.#right,
      wrong: this.#wrong,
      lost: this.#lost,
      byKind: this.#byKind,
    };
  }

  #launch(kind: Kind): void {
    const seq = this.#sent++;
    this.#byKind[kind] = (this.#byKind[kind] ?? 0) + 1;
    const done = within(this.#run(kind, seq), 'its answer', answerMs).then(
      (problem) => {
        if (problem === undefined) this.#right++;
        else this.#wrong.push(`${kind} ${seq}: ${problem}`);
      },
      (error: unknown) => void this.#lost.push(`${kind} ${seq}: ${(error as Error).message}`),
    );
    this.#inFlight.add(done);
    void done.then(() => this.#inFlight.delete(done));
  }

  /** What was wrong with the answer, if anything; rejects where there was none. */
  async #run(kind: Kind, seq: number): Promise<string | undefined> {
    switch (kind) {
      case 'get':
        return differs(await this.#ask({ path: `/echo/${seq}` }), `echo ${seq} ${hashOf('')}`);
      case 'poll':
        return differs(await this.#ask({ path: `/poll/${seq}` }), `poll ${seq}`);
      case 'download':
        return differs(
          hashOf(await this.#ask({ path: `/download/${seq}` })),
          hashOf(bytesFor(seq, downloadBytes)),
        );
      case 'post':
      case 'chunked': {
        const body = bytesFor(seq, postBytes);
        const path = `/echo/${seq}`;
        const headers = kind === 'post' ? { 'content-length': body.length } : {};
        const answer = await this.#ask({ method: 'POST', path, headers }, body);
        return differs(answer, `echo ${seq} ${hashOf(body)}`);
      }
      case 'grpc':
        // As every gRPC client does: a refused stream was not looked at and goes again (RFC 9113 §8.7).
        return await this.#callGrpc(seq).catch((error: Error) => {
          if (!error.message.includes('REFUSED_STREAM')) throw error;
          this.#session = undefined;
          return this.#callGrpc(seq);
        });
      case 'ping':
        return await this.#ping(seq);
    }
  }

  async #ask(options: RequestOptions, body?: Buffer): Promise<Buffer> {
    const { port } = this.#init;
    const headers = { host: 'shop', ...options.headers };
    const outgoing = request({ ...options, host: '127.0.0.1', port, agent: this.#agent, headers });
    outgoing.setTimeout(answerMs, () => outgoing.destroy(new Error('no answer in time')));
    for (let at = 0; body !== undefined && at < body.length; at += 10_000) {
      outgoing.write(body.subarray(at, at + 10_000));
    }
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks);
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}: ${answer}`);
    return answer;
  }

  /** A few length-prefixed messages on one stream, each echoed, and a status in the trailers. */
  async #callGrpc(seq: number): Promise<string | undefined> {
    const session = await this.#openSession();
    const stream = session.request({
      ':method': 'POST',
      ':path': '/ledger.Echo/Stream',
      ':authority': 'shop:81',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let status: unknown;
    stream.on('trailers', (fields: Record<string, unknown>) => {
      status = fields['grpc-status'];
    });
    const sent = Buffer.concat([0, 1, 2].map((n) => message(bytesFor(seq + n, 300))));
    stream.end(sent);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    if (status !== '0') throw new Error(`grpc-status ${String(status)}`);
    return differs(hashOf(Buffer.concat(chunks)), hashOf(sent));
  }

  async #openSession(): Promise<ClientHttp2Session> {
    const known = this.#session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connectHttp2(`http://127.0.0.1:${this.#init.port}`);
    session.on('error', () => {});
    // Streams in flight end; the next ones go on a connection of their own.
    session.on('goaway', () => {
      if (this.#session === session) this.#session = undefined;
    });
    this.#session = session;
    return session;
  }

  /** A WebSocket ping on a connection that stays, answered by a pong with the same bytes (RFC 6455 §5.5). */
  async #ping(seq: number): Promise<string | undefined> {
    const socket = await this.#openWebSocket();
    const payload = Buffer.from(`ping-${seq}`);
    const mask = Buffer.from([1, 2, 3, 4]);
    const masked = payload.map((byte, at) => byte ^ (mask[at % 4] as number));
    const answer = once(socket, 'data') as Promise<[Buffer]>;
    socket.write(Buffer.concat([Buffer.from([0x89, 0x80 | payload.length]), mask, masked]));
    const [pong] = await answer;
    return differs(pong, Buffer.concat([Buffer.from([0x8a, payload.length]), payload]).toString('latin1'));
  }

  async #openWebSocket(): Promise<Socket> {
    const known = this.#webSocket;
    if (known !== undefined && !known.destroyed && !known.readableEnded) return known;
    const socket = connect({ port: this.#init.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write(
      'GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    const [head] = (await once(socket, 'data')) as [Buffer];
    if (!head.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(`no upgrade: ${head}`);
    this.#webSocket = socket;
    return socket;
  }
}

/** Bytes that belong to a number, the same on both ends. */
export function bytesFor(seq: number, size: number): Buffer {
  const line = Buffer.from(`${seq}:${hashOf(String(seq))};`);
  return Buffer.alloc(size, line);
}

export function hashOf(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function kindOf(at: number): Kind {
  // Spread by a step that shares no factor with the sum, so that kinds alternate.
  let left = (at * 37) % total;
  for (const [kind, weight] of mix) {
    if (left < weight) return kind;
    left -= weight;
  }
  return 'get';
}

function differs(answer: Buffer | string, expected: string): string | undefined {
  const text = typeof answer === 'string' ? answer : answer.toString('latin1');
  return text === expected ? undefined : `got ${text.slice(0, 80)}, expected ${expected.slice(0, 80)}`;
}

function message(payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}
