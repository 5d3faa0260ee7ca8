/**
 * A second, independent reader of HTTP/1.1 for tests: slow, on strings, and stricter than any receiver must be.
 * It accepts only what our own serialiser may write, so that it serves as an oracle for canonical bytes.
 */
export interface RawMessage {
  /** The request or status line. */
  readonly start: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** Framed by the end of the connection. */
  readonly untilClose: boolean;
}

export class NotCanonical extends Error {}

const requestLine = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ (?:\/[\x21\x22\x24-\x5b\x5d-\x7e]*|\*) HTTP\/1\.1$/;
const statusLine = /^HTTP\/1\.1 [1-5]\d\d [\t\x20-\x7e\x80-\xff]*$/;
const fieldLine =
  /^([!#$%&'*+\-.^_`|~0-9a-z]+): ((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)$/;

/** Reads as many messages as are complete. `rest` is what follows them. */
export function readRequests(text: string): { messages: RawMessage[]; rest: string } {
  const messages: RawMessage[] = [];
  let rest = text;
  for (;;) {
    const read = readMessage(rest, requestLine, () => 'none', false);
    if (read === undefined) return { messages, rest };
    checkRequest(read.message);
    messages.push(read.message);
    rest = read.rest;
  }
}

/** `methods` are those of the requests that the final responses answer, in order. */
export function readResponses(
  text: string,
  methods: readonly string[],
  closed: boolean,
): { messages: RawMessage[]; rest: string } {
  const messages: RawMessage[] = [];
  let rest = text;
  let final = 0;
  for (;;) {
    const framingWithout = (status: number): 'none' | 'until_close' => {
      const bodiless = status < 200 || status === 204 || status === 304 || methods[final] === 'HEAD';
      return bodiless ? 'none' : 'until_close';
    };
    const read = readMessage(rest, statusLine, framingWithout, closed);
    if (read === undefined) return { messages, rest };
    messages.push(read.message);
    if (statusOf(read.message) >= 200) final++;
    rest = read.rest;
  }
}

export function statusOf(message: RawMessage): number {
  return Number(message.start.split(' ')[1]);
}

export function fieldOf(message: RawMessage, name: string): string | undefined {
  return message.fields.find(([each]) => each === name)?.[1];
}

type Part = Pick<RawMessage, 'start' | 'fields'>;
type Read = { message: RawMessage; rest: string };

function readMessage(
  text: string,
  startLine: RegExp,
  framingWithout: (status: number) => 'none' | 'until_close',
  closed: boolean,
): Read | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const [start = '', ...lines] = text.slice(0, headEnd).split('\r\n');
  if (!startLine.test(start)) throw new NotCanonical(`start line ${JSON.stringify(start.slice(0, 200))}`);
  const part = { start, fields: lines.map(fieldOfLine) };
  const after = text.slice(headEnd + 4);
  const status = start.startsWith('HTTP/') ? Number(start.split(' ')[1]) : 0;
  const withoutFraming = framingWithout(status);
  const framing = part.fields.filter(([name]) => name === 'content-length' || name === 'transfer-encoding');
  if (framing.length > 1) throw new NotCanonical('framed twice');
  const [name, value = ''] = framing[0] ?? [];
  const isBodiless = withoutFraming === 'none' && (status > 0 || name === undefined);
  if (isBodiless) return { message: { ...part, body: '', trailers: [], untilClose: false }, rest: after };
  if (name === 'transfer-encoding') return readChunked(after, value, part);
  if (name === 'content-length') return readLength(after, value, part);
  return closed ? { message: { ...part, body: after, trailers: [], untilClose: true }, rest: '' } : undefined;
}

function readLength(text: string, value: string, part: Part): Read | undefined {
  if (!/^(?:0|[1-9]\d*)$/.test(value)) throw new NotCanonical(`content-length ${value}`);
  const length = Number(value);
  if (text.length < length) return undefined;
  const message = { ...part, body: text.slice(0, length), trailers: [], untilClose: false };
  return { message, rest: text.slice(length) };
}

function readChunked(text: string, coding: string, part: Part): Read | undefined {
  if (coding !== 'chunked') throw new NotCanonical('transfer-encoding');
  let body = '';
  let rest = text;
  for (;;) {
    const line = lineOf(rest);
    if (line === undefined) return undefined;
    if (!/^(?:0|[1-9a-f][0-9a-f]*)$/.test(line)) throw new NotCanonical(`chunk size ${JSON.stringify(line)}`);
    rest = rest.slice(line.length + 2);
    const length = Number.parseInt(line, 16);
    if (length === 0) return readTrailers(rest, { ...part, body });
    if (rest.length < length + 2) return undefined;
    if (rest.slice(length, length + 2) !== '\r\n') throw new NotCanonical('end of a chunk');
    body += rest.slice(0, length);
    rest = rest.slice(length + 2);
  }
}

function readTrailers(text: string, part: Part & { readonly body: string }): Read | undefined {
  const trailers: (readonly [string, string])[] = [];
  let rest = text;
  for (;;) {
    const line = lineOf(rest);
    if (line === undefined) return undefined;
    rest = rest.slice(line.length + 2);
    if (line === '') return { message: { ...part, trailers, untilClose: false }, rest };
    trailers.push(fieldOfLine(line));
  }
}

function lineOf(text: string): string | undefined {
  const end = text.indexOf('\r\n');
  return end === -1 ? undefined : text.slice(0, end);
}

function fieldOfLine(line: string): readonly [string, string] {
  const match = fieldLine.exec(line);
  if (match === null) throw new NotCanonical(`field line ${JSON.stringify(line.slice(0, 200))}`);
  return [match[1] ?? '', match[2] ?? ''];
}

/** What no upstream may ever get from us. */
function checkRequest(message: RawMessage): void {
  if (message.fields.filter(([name]) => name === 'host').length !== 1) throw new NotCanonical('not one host');
  const upgrade = fieldOf(message, 'upgrade');
  if (upgrade !== undefined && upgrade !== 'websocket') throw new NotCanonical(`upgrade ${upgrade}`);
  const connection = fieldOf(message, 'connection');
  if (connection !== undefined && connection !== 'upgrade')
    throw new NotCanonical(`connection ${connection}`);
  for (const [name] of [...message.fields, ...message.trailers]) {
    if (forbidden.has(name) || /^heddle-/.test(name)) throw new NotCanonical(`field ${name}`);
  }
  for (const [name] of message.trailers) {
    if (forbiddenInTrailers.has(name)) throw new NotCanonical(`trailer ${name}`);
  }
}

const forbidden = new Set([
  'keep-alive',
  'proxy-connection',
  'te',
  'http2-settings',
  'transfer_encoding',
  'content_length',
  'x-forwarded-client-cert',
  'l5d-client-id',
  'x-mesh-peer-id',
]);
const forbiddenInTrailers = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'authorization',
  'cookie',
  'x-forwarded-for',
  'connection',
]);
