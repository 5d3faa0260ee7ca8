/**
 * What a WebSocket's two ends prove to each other in HTTP/1.1 (RFC 6455 §4) and not over HTTP/2 (RFC 8441 §5): where
 * only one of them speaks HTTP/1.1, its side of the proof is ours.
 */
import { hash } from 'node:crypto';
import type { RequestHead, ResponseHead } from '../codec.ts';
import { Field, fieldValue } from '../field.ts';

const keyName = 'sec-websocket-key';
const acceptName = 'sec-websocket-accept';
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The key by which a client asks for a WebSocket, or ''. */
export function webSocketKey(head: RequestHead): string {
  return head.protocol === 'websocket' ? (fieldValue(head.fields, keyName) ?? '') : '';
}

/** Makes a key where the client had none to send. */
export function addWebSocketKey(head: RequestHead): void {
  if (fieldValue(head.fields, keyName) === undefined) head.fields.push(new Field(keyName, randomKey()));
}

/** Answers the client's key where the server had no need to. */
export function addWebSocketAccept(head: ResponseHead, key: string): void {
  if (key === '' || fieldValue(head.fields, acceptName) !== undefined) return;
  head.fields.push(new Field(acceptName, hash('sha1', key + acceptSuffix, 'base64')));
}

function randomKey(): string {
  return globalThis.crypto.getRandomValues(Buffer.alloc(16)).toString('base64');
}
