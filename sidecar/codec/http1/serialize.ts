// hot: every head that leaves (bench/micro/http1-parse.ts).
/**
 * Heads as text. Nothing is copied from the wire: the framing is derived anew, and of the fields only those that
 * the neutral head holds are written.
 */
import type { RequestHead, ResponseHead } from '../codec.ts';
import type { BodyMode } from './body-writer.ts';
import { offeredProtocols, upgradeRequired } from './upgrade-offer.ts';

/** For people who read traces; nothing depends on them (RFC 9112 §4). */
const reasons: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};

/** Status lines that were needed before; at most one per status. */
const statusLines: (string | undefined)[] = new Array<string | undefined>(600).fill(undefined);

/** How the body of a request is framed; `end` says that there is none. */
export function requestMode(head: RequestHead, end: boolean): BodyMode {
  if (head.protocol !== undefined) return 'tunnel';
  if (end) return 'none';
  return head.contentLength >= 0 ? 'length' : 'chunked';
}

export function requestText(head: RequestHead, mode: BodyMode): string {
  let text = `${head.method} ${head.path} HTTP/1.1\r\nhost: ${head.authority}\r\n`;
  const { fields } = head;
  for (let i = 0; i < fields.length; i++) text += (fields[i] as { line: string }).line;
  if (mode === 'tunnel') text += `connection: upgrade\r\nupgrade: ${head.protocol}\r\n`;
  else if (mode === 'chunked') text += 'transfer-encoding: chunked\r\n';
  else if (head.contentLength >= 0) text += `content-length: ${head.contentLength}\r\n`;
  else if (expectsContent(head.method)) text += 'content-length: 0\r\n';
  if (head.expectContinue) text += 'expect: 100-continue\r\n';
  return `${text}\r\n`;
}

/** Methods that give content a meaning, for which an absent body has to be told (RFC 9110 §8.6). */
function expectsContent(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}

/** The connection's side of a response. */
export interface ResponseContext {
  /** The request was HEAD. */
  readonly isHead: boolean;
  readonly minorVersion: number;
  readonly protocol: string | undefined;
}

export function responseMode(head: ResponseHead, end: boolean, context: ResponseContext): BodyMode {
  const { status } = head;
  if (status === 101) return 'tunnel';
  if (end || context.isHead || status === 204 || status === 304) return 'none';
  if (head.contentLength >= 0) return 'length';
  return context.minorVersion === 0 ? 'until_close' : 'chunked';
}

export function responseText(
  head: ResponseHead,
  mode: BodyMode,
  close: boolean,
  context: ResponseContext,
): string {
  let text = statusLine(head.status);
  const { fields } = head;
  for (let i = 0; i < fields.length; i++) text += (fields[i] as { line: string }).line;
  if (mode === 'tunnel') return `${text}connection: upgrade\r\nupgrade: ${context.protocol}\r\n\r\n`;
  if (mode === 'chunked') text += 'transfer-encoding: chunked\r\n';
  else if (mode === 'none') text += lengthOfNone(head, context);
  else if (mode === 'length') text += `content-length: ${head.contentLength}\r\n`;
  if (head.status === upgradeRequired) text += upgradeLines(head, close);
  else if (close) text += 'connection: close\r\n';
  return `${text}\r\n`;
}

function upgradeLines(head: ResponseHead, close: boolean): string {
  const protocols = offeredProtocols(head);
  if (protocols === undefined) return close ? 'connection: close\r\n' : '';
  return `connection: ${close ? 'close, upgrade' : 'upgrade'}\r\nupgrade: ${protocols}\r\n`;
}

export function informationalText(head: ResponseHead): string {
  let text = statusLine(head.status);
  for (const field of head.fields) text += field.line;
  return `${text}\r\n`;
}

/** What a client gets whose message is refused; the connection ends with it. HEAD gets no body (RFC 9110 §9.3.2). */
export function refusalText(status: number, message: string, isHead: boolean): string {
  if (isHead) return `${statusLine(status)}connection: close\r\n\r\n`;
  const body = `${message}\n`;
  return `${statusLine(status)}content-type: text/plain\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}

/** RFC 9110 §8.6: not with 204; with HEAD and 304 what a GET would have had; else an empty body says so. */
function lengthOfNone(head: ResponseHead, context: ResponseContext): string {
  if (head.status === 204) return '';
  if (head.contentLength >= 0) return `content-length: ${head.contentLength}\r\n`;
  return context.isHead || head.status === 304 ? '' : 'content-length: 0\r\n';
}

function statusLine(status: number): string {
  const known = statusLines[status];
  if (known !== undefined) return known;
  const line = `HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\n`;
  statusLines[status] = line;
  return line;
}
