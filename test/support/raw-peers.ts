/** The two ends of a hop under test, on raw sockets: an upstream that records, a client that sends bytes as told. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { NotCanonical, type RawMessage, readRequests, readResponses, statusOf } from './raw-http.ts';

/** What the upstream answers to the requests of one connection; undefined: nothing. */
export type Script = (request: RawMessage, connection: number) => string | undefined;

export interface RecordedConnection {
  bytes: string;
  requests: RawMessage[];
  /** What was not canonical. */
  problem: string | undefined;
  closed: boolean;
}

export const plainAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

interface Answering {
  answered: number;
  saidContinue: boolean;
  saidEarly: boolean;
}

/** Records what it gets, checks that it is canonical, and answers each complete request by its script. */
export class RecordingUpstream {
  connections: RecordedConnection[] = [];
  /** Replaced from test to test. */
  script: Script = () => plainAnswer;
  /** Answered as soon as a head is there, before the body. */
  early: string | undefined;
  /** FIN after the first answer. */
  endsAfterAnswer = false;
  /** Closes at once, without a byte. */
  closesAtOnce = false;
  /** The pieces in which an answer is written, with a turn of the loop between. */
  cut: (answer: string) => readonly string[] = (answer) => [answer];
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#serve(socket));
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    return this;
  }

  /**
   * Forgets what was recorded and ends what is open. Resolves once the other side has ended it too: before, it might
   * send its next request there.
   */
  async reset(): Promise<void> {
    const sockets = [...this.#sockets];
    for (const socket of sockets) {
      socket.end();
      // One that was left in the middle of something may get no end.
      socket.setTimeout(1000, () => socket.destroy());
    }
    await Promise.all(sockets.map((socket) => once(socket, 'close')));
    this.connections = [];
    this.script = () => plainAnswer;
    this.early = undefined;
    this.endsAfterAnswer = false;
    this.closesAtOnce = false;
    this.cut = (answer) => [answer];
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  get requests(): RawMessage[] {
    return this.connections.flatMap((connection) => connection.requests);
  }

  get problems(): string[] {
    return this.connections.flatMap((connection) => connection.problem ?? []);
  }

  #serve(socket: Socket): void {
    const record: RecordedConnection = { bytes: '', requests: [], problem: undefined, closed: false };
    const number = this.connections.length;
    this.connections.push(record);
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      record.closed = true;
      this.#sockets.delete(socket);
    });
    const answering = { answered: 0, saidContinue: false, saidEarly: false };
    socket.setEncoding('latin1').on('data', (text: string) => {
      record.bytes += text;
      if (this.closesAtOnce) socket.end();
      else this.#answer(socket, record, number, answering);
    });
  }

  #answer(socket: Socket, record: RecordedConnection, number: number, answering: Answering): void {
    let rest = '';
    try {
      const read = readRequests(record.bytes);
      record.requests = read.messages;
      rest = read.rest;
    } catch (error) {
      if (!(error instanceof NotCanonical)) throw error;
      record.problem = error.message;
      return;
    }
    if (this.early !== undefined) {
      if (!answering.saidEarly && record.bytes.includes('\r\n\r\n')) this.#say(socket, this.early);
      answering.saidEarly = true;
      return;
    }
    for (; answering.answered < record.requests.length; answering.answered++) {
      const answer = this.script(record.requests[answering.answered] as RawMessage, number);
      if (answer !== undefined) this.#say(socket, answer);
    }
    if (!answering.saidContinue && /\r\nexpect: 100-continue\r\n/.test(rest) && rest.includes('\r\n\r\n')) {
      answering.saidContinue = true;
      socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    }
  }

  #say(socket: Socket, text: string): void {
    const [first = '', ...later] = this.cut(text);
    socket.write(first, 'latin1');
    void this.#sayOn(socket, later, this.endsAfterAnswer);
  }

  async #sayOn(socket: Socket, pieces: readonly string[], ends: boolean): Promise<void> {
    for (const piece of pieces) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!socket.writable) return;
      socket.write(piece, 'latin1');
    }
    if (ends) socket.end();
  }
}

/** A client that sends bytes in the pieces it is told and keeps what comes. */
export class RawClient {
  text = '';
  closed = false;
  /** The connection was reset: the last words may have been lost. */
  wasReset = false;
  readonly #socket: Socket;
  readonly #methods: readonly string[];

  /** `methods` of the requests that it will send, where they matter: the answer to HEAD has no body. */
  constructor(port: number, methods: readonly string[] = []) {
    this.#methods = methods;
    this.#socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.text += text;
    });
    // As most clients do: the server's FIN ends it.
    this.#socket.on('end', () => this.#socket.end());
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') this.wasReset = true;
    });
    this.#socket.on('close', () => {
      this.closed = true;
    });
  }

  /** Each piece is a write of its own, with a turn of the loop between. */
  async send(pieces: readonly string[]): Promise<void> {
    for (const piece of pieces) {
      if (!this.#socket.writable) return;
      this.#socket.write(piece, 'latin1');
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The complete responses so far. */
  responses(): RawMessage[] {
    return this.#read().messages;
  }

  /** The statuses of final responses. */
  statuses(): number[] {
    return this.responses()
      .map(statusOf)
      .filter((status) => status >= 200);
  }

  /** What follows the complete responses: a cut one. */
  rest(): string {
    return this.#read().rest;
  }

  #read(): ReturnType<typeof readResponses> {
    return readResponses(this.text, this.#methods, this.closed && !this.wasReset);
  }
}
