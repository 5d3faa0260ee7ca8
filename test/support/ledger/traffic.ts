/**
 * The kinds of traffic that a ledger mixes. Each asks for one numbered thing and says what was wrong with the answer.
 * Where there is none it throws: `Refused` for an answer that says why not, `Ended` for a long-lived connection that was
 * closed in order under its last message, anything else for a connection that broke.
 */
import { once } from 'node:events';
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect } from 'node:net';
import { bytesFor, downloadBytes, hashOf } from './bytes.ts';
import { Refused } from './misses.ts';
import { Pipeline } from './pipeline.ts';
import { WebSocketPings } from './web-socket.ts';

export type Kind =
  | 'get'
  | 'post'
  | 'chunked'
  | 'download'
  | 'pipelined'
  | 'h2_get'
  | 'h2_post'
  | 'grpc'
  | 'poll'
  | 'tcp'
  | 'ping';

export interface TrafficInit {
  /** The caller's outbound port. */
  readonly port: number;
  /** The localhost port of the TCP service. */
  readonly tcpPort: number;
}

/** What common clients do (Node's own default). */
const keepAliveMs = 5_000;
const maxSockets = 64;
const postBytes = 64 * 1024;
const smallPostBytes = 20_000;
const answerMs = 60_000;

export class Traffic {
  readonly #init: TrafficInit;
  readonly #agent = new Agent({ keepAlive: true, maxSockets, timeout: keepAliveMs });
  readonly #pipeline: Pipeline;
  #session: ClientHttp2Session | undefined;
  #webSocket: WebSocketPings | undefined;

  constructor(init: TrafficInit) {
    this.#init = init;
    this.#pipeline = new Pipeline(init.port);
  }

  async ask(kind: Kind, seq: number): Promise<string | undefined> {
    switch (kind) {
      case 'get':
        return differs(await this.#ask({ path: `/echo/${seq}` }), echoOf(seq));
      case 'poll':
        return differs(await this.#ask({ path: `/poll/${seq}` }), `poll ${seq}`);
      case 'download': {
        const answer = await this.#ask({ path: `/download/${seq}` });
        return differs(hashOf(answer), hashOf(bytesFor(seq, downloadBytes)));
      }
      case 'post':
      case 'chunked':
        return this.#post(kind, seq);
      case 'pipelined':
        return differs(await this.#pipeline.get(`/echo/${seq}`), echoOf(seq));
      case 'h2_get':
        return differs(await this.#askHttp2(seq, 'GET', undefined), echoOf(seq));
      case 'h2_post': {
        const body = bytesFor(seq, smallPostBytes);
        return differs(await this.#askHttp2(seq, 'POST', body), echoOf(seq, body));
      }
      case 'grpc':
        return this.#callGrpc(seq);
      case 'tcp':
        return this.#echo(seq);
      case 'ping':
        return this.#ping(seq);
    }
  }

  close(): void {
    this.#agent.destroy();
    this.#pipeline.close();
    this.#session?.close();
    this.#webSocket?.close();
  }

  async #post(kind: 'post' | 'chunked', seq: number): Promise<string | undefined> {
    const body = bytesFor(seq, postBytes);
    const headers = kind === 'post' ? { 'content-length': body.length } : {};
    const answer = await this.#ask({ method: 'POST', path: `/echo/${seq}`, headers }, body);
    return differs(answer, echoOf(seq, body));
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
    const answer = await wholeOf(response);
    if (response.statusCode !== 200) throw new Refused(`${response.statusCode} ${answer}`);
    return answer;
  }

  async #askHttp2(seq: number, method: string, body: Buffer | undefined): Promise<Buffer> {
    const path = `/echo/${seq}`;
    const { answer, status } = await this.#exchange({ ':method': method, ':path': path }, 'shop', body);
    if (status !== 200) throw new Refused(`${status} ${answer}`);
    return answer;
  }

  /** A few length-prefixed messages on one stream, each echoed, and a status in the trailers. */
  async #callGrpc(seq: number): Promise<string | undefined> {
    const sent = Buffer.concat([0, 1, 2].map((n) => message(bytesFor(seq + n, 300))));
    const { answer, fields } = await this.#exchange(
      {
        ':method': 'POST',
        ':path': '/ledger.Echo/Stream',
        'content-type': 'application/grpc',
        te: 'trailers',
        'x-seq': String(seq),
      },
      'shop:81',
      sent,
    );
    const grpcStatus = fields['grpc-status'];
    if (grpcStatus === undefined) throw new Error('no grpc-status');
    if (grpcStatus !== '0') throw new Refused(`grpc-status ${grpcStatus} ${fields['grpc-message']}`);
    return differs(hashOf(answer), hashOf(sent));
  }

  /**
   * As every HTTP/2 client does: what was refused unseen (RFC 9113 §8.7), or met a connection that takes nothing new,
   * goes again.
   */
  async #exchange(head: OutgoingHttpHeaders, authority: string, body: Buffer | undefined) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#exchangeOnce({ ...head, ':authority': authority }, body);
      } catch (error) {
        const text = (error as Error).message;
        if (attempt === 3 || !/REFUSED_STREAM|GOAWAY/.test(text)) throw error;
        this.#session = undefined;
      }
    }
  }

  async #exchangeOnce(head: OutgoingHttpHeaders, body: Buffer | undefined) {
    const stream = this.#openSession().request(head, { endStream: body === undefined });
    const fields: Record<string, unknown> = {};
    stream.on('response', (received) => Object.assign(fields, received));
    stream.on('trailers', (received) => Object.assign(fields, received));
    if (body !== undefined) stream.end(body);
    const answer = await wholeOf(stream);
    // Node ends the streams of a connection that broke in good order, with CANCEL.
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error(`reset with ${stream.rstCode}`);
    return { answer, fields, status: fields[':status'] };
  }

  #openSession(): ClientHttp2Session {
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

  /** A TCP connection of its own, ended by us first. */
  async #echo(seq: number): Promise<string | undefined> {
    const sent = bytesFor(seq, smallPostBytes);
    const socket = connect({ port: this.#init.tcpPort, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(sent);
    const answer = await wholeOf(socket);
    // The kernel ends a killed process's connections in good order where it had read all that came.
    if (answer.length < sent.length && answer.equals(sent.subarray(0, answer.length))) {
      throw new Error(`ended after ${answer.length} of ${sent.length} bytes`);
    }
    return differs(hashOf(answer), hashOf(sent));
  }

  async #ping(seq: number): Promise<string | undefined> {
    if (this.#webSocket?.isUsable !== true) this.#webSocket = new WebSocketPings(this.#init.port);
    const payload = `ping-${seq}`;
    return differs(await this.#webSocket.ping(payload), payload);
  }
}

function echoOf(seq: number, body: Buffer | string = ''): string {
  return `echo ${seq} ${hashOf(body)}`;
}

async function wholeOf(readable: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readable) chunks.push(chunk);
  return Buffer.concat(chunks);
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
