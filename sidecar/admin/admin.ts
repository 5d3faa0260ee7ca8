/**
 * The admin page of one sidecar, on a Unix socket or a loopback port, served by our own HTTP/1.1 codec.
 *
 *   GET /ready · GET /metrics · GET /config · GET /clusters · GET /overload · POST /drain
 */
import type { MeshError } from '../../kit/errors.ts';
import { messageOf } from '../../kit/errors.ts';
import type { RequestAcceptor, RequestHead, RequestReceiver, ServerStream } from '../codec/codec.ts';
import { Field, fieldValue } from '../codec/field.ts';

export interface AdminPage {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface AdminActions {
  /** Why the sidecar is not ready, or undefined where it is. */
  whyNotReady(): string | undefined;
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
  config(): unknown;
  clusters(): unknown | Promise<unknown>;
  overload(): unknown | Promise<unknown>;
  /** Begins the drain; the process ends when it is done. */
  drain(): void;
}

/** Answers every request of one connection. */
export class AdminAcceptor implements RequestAcceptor {
  readonly #actions: AdminActions;
  readonly #onClosed: () => void;

  constructor(actions: AdminActions, onClosed: () => void) {
    this.#actions = actions;
    this.#onClosed = onClosed;
  }

  onRequest(stream: ServerStream, head: RequestHead): RequestReceiver {
    const receiver = new AdminReceiver(stream);
    const path = head.path.split('?', 1)[0] ?? '';
    // Browsers let any web page send to loopback, and say so (RFC 6454 §7).
    const isFromPage = fieldValue(head.fields, 'origin') !== undefined;
    const request = isFromPage ? fromPage : `${head.method} ${path}`;
    void answer(receiver, request, this.#actions);
    return receiver;
  }

  onRefused(_status: number, _error: MeshError): void {}
  onFlooded(_error: MeshError): void {}
  onConnectionClosed(): void {
    this.#onClosed();
  }
}

/** A page leaves in pieces of so much, as its reader takes them: one of ten thousand endpoints has megabytes. */
const pieceBytes = 64 * 1024;

/** Bodies are read and dropped. */
class AdminReceiver implements RequestReceiver {
  readonly #stream: ServerStream;
  #body: Buffer | undefined;
  #sentBytes = 0;
  #isGone = false;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  onRequestData(): void {}
  onRequestEnd(): void {}

  onRequestAborted(): void {
    this.#isGone = true;
    this.#body = undefined;
  }

  onResponseWritable(): void {
    this.#sendOn();
  }

  send(page: AdminPage): void {
    if (this.#isGone) return;
    this.#body = Buffer.from(page.body, 'utf8');
    const fields = [new Field('content-type', page.contentType)];
    this.#stream.sendResponse({ status: page.status, fields, contentLength: this.#body.length }, false);
    this.#sendOn();
  }

  #sendOn(): void {
    for (let body = this.#body; body !== undefined; body = this.#body) {
      const piece = body.subarray(this.#sentBytes, this.#sentBytes + pieceBytes);
      this.#sentBytes += piece.length;
      const hasRoom = this.#stream.sendData(piece);
      if (this.#sentBytes === body.length) {
        this.#body = undefined;
        this.#stream.sendEnd(undefined);
      } else if (!hasRoom) return;
    }
  }
}

/** Never rejects: a page that fails says so. */
async function answer(receiver: AdminReceiver, request: string, actions: AdminActions): Promise<void> {
  const page = await pageFor(request, actions).catch((thrown: unknown) => textPage(500, messageOf(thrown)));
  receiver.send(page);
}

const fromPage = 'from a web page';
const paths = ['GET /ready', 'GET /metrics', 'GET /config', 'GET /clusters', 'GET /overload', 'POST /drain'];

async function pageFor(request: string, actions: AdminActions): Promise<AdminPage> {
  switch (request) {
    case 'GET /ready': {
      const why = actions.whyNotReady();
      return why === undefined ? textPage(200, 'ready') : textPage(503, why);
    }
    case 'GET /metrics':
      return { status: 200, ...(await actions.metrics()) };
    case 'GET /config':
      return jsonPage(actions.config());
    case 'GET /clusters':
      return jsonPage(await actions.clusters());
    case 'GET /overload':
      return jsonPage(await actions.overload());
    case 'POST /drain':
      actions.drain();
      return textPage(202, 'draining');
    case fromPage:
      return textPage(403, 'web pages have no business here');
    default:
      return textPage(404, `no such page; there are: ${paths.join(', ')}`);
  }
}

function textPage(status: number, text: string): AdminPage {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${text}\n` };
}

function jsonPage(value: unknown): AdminPage {
  const text = JSON.stringify(
    value,
    (_key, part: unknown) => (part instanceof Map ? Object.fromEntries(part) : part),
    2,
  );
  return { status: 200, contentType: 'application/json', body: `${text}\n` };
}
