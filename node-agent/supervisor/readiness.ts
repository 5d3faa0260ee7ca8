/**
 * One look whether something answers: a TCP port that accepts, an HTTP path that answers 2xx or 3xx, or a gRPC
 * server that says it serves.
 */
import { connect, type Socket } from 'node:net';
import { askGrpcHealth } from './grpc-health.ts';

export type Probe =
  /** Counts as ready as soon as it runs. */
  | { readonly kind: 'none' }
  | { readonly kind: 'port'; readonly host: string; readonly port: number; readonly timeoutMs?: number }
  | {
      readonly kind: 'http';
      readonly host: string;
      readonly port: number;
      readonly path: string;
      readonly timeoutMs?: number;
    }
  | {
      readonly kind: 'grpc';
      readonly host: string;
      readonly port: number;
      /** Whose health is asked; empty is the server's as a whole. */
      readonly service: string;
      readonly timeoutMs?: number;
    }
  | { readonly kind: 'http_socket'; readonly socket: string; readonly path: string };

/** Calls `done` once with the outcome; `cancel` ends it unanswered. */
export type RunProbe = (probe: Probe, done: (ok: boolean) => void) => { cancel(): void };

const defaultTimeoutMs = 2000;
/** Enough for a status line. */
const maxHeadBytes = 1024;

export const runProbe: RunProbe = (probe, done) => {
  if (probe.kind === 'none') {
    // Never before the caller holds the answer's handle.
    let answer = done;
    queueMicrotask(() => answer(true));
    return {
      cancel: () => {
        answer = () => {};
      },
    };
  }
  const socket =
    probe.kind === 'http_socket'
      ? connect({ path: probe.socket })
      : connect({ host: probe.host, port: probe.port });
  let finish = (ok: boolean): void => {
    finish = () => {};
    socket.destroy();
    done(ok);
  };
  socket.on('error', () => finish(false));
  socket.on('close', () => finish(false));
  const timeoutMs = 'timeoutMs' in probe ? probe.timeoutMs : undefined;
  socket.setTimeout(timeoutMs ?? defaultTimeoutMs, () => finish(false));
  socket.on('connect', () => {
    if (probe.kind === 'port') finish(true);
    else if (probe.kind === 'grpc') askGrpcHealth(socket, probe.service, (ok) => finish(ok));
    else ask(socket, probe.path, (ok) => finish(ok));
  });
  return {
    cancel: () => {
      finish = () => {};
      socket.destroy();
    },
  };
};

/** A path with a space or a line end would be another request. */
const pathShape = /^\/[\x21-\x7e]*$/;

function ask(socket: Socket, path: string, answer: (ok: boolean) => void): void {
  if (!pathShape.test(path)) {
    answer(false);
    return;
  }
  let head = '';
  socket.on('data', (bytes) => {
    head += bytes.toString('latin1');
    const end = head.indexOf('\r\n');
    if (end >= 0) answer(/^HTTP\/1\.[01] [23]\d\d/.test(head.slice(0, end)));
    else if (head.length > maxHeadBytes) answer(false);
  });
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
}
