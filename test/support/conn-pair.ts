/** A real socket, accepted as the sidecar accepts, or a `SocketConn` on it, and the raw client at its other end. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { systemClock } from '../../kit/clock.ts';
import type { MeshError } from '../../kit/errors.ts';
import type { ConnHandler } from '../../sidecar/net/conn.ts';
import { createFlusher } from '../../sidecar/net/flush.ts';
import { listen } from '../../sidecar/net/listener.ts';
import { type ConnServices, SocketConn } from '../../sidecar/net/socket-conn.ts';
import { TimerWheel } from '../../sidecar/net/timer-wheel.ts';
import { defer } from './cleanup.ts';

export interface SocketPair {
  readonly socket: Socket;
  readonly client: Socket;
}

export interface ConnPair {
  readonly conn: SocketConn;
  readonly client: Socket;
}

export function testServices(): ConnServices {
  return { flusher: createFlusher(), timers: new TimerWheel(systemClock) };
}

export async function connPair(t: TestContext, services = testServices()): Promise<ConnPair> {
  const { socket, client } = await socketPair(t);
  const conn = new SocketConn(socket, services, { origin: 'downstream' });
  defer(t, () => conn.destroy());
  return { conn, client };
}

export async function socketPair(t: TestContext): Promise<SocketPair> {
  const { promise: accepted, resolve: accept } = Promise.withResolvers<Socket>();
  const listener = await listen({ host: '127.0.0.1', port: 0 }, accept);
  const client = connect({ host: '127.0.0.1', port: listener.port, allowHalfOpen: true });
  client.on('error', () => {});
  await once(client, 'connect');
  const socket = await accepted;
  listener.close();
  defer(t, () => {
    socket.destroy();
    client.destroy();
  });
  return { socket, client };
}

/** Keeps what a connection reports. */
export class RecordingHandler implements ConnHandler {
  readonly chunks: Buffer[] = [];
  ended = false;
  writable = 0;
  closed = 0;
  error: MeshError | undefined;

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  onData(chunk: Buffer): void {
    this.chunks.push(chunk);
  }
  onEnd(): void {
    this.ended = true;
  }
  onWritable(): void {
    this.writable++;
  }
  onClosed(error: MeshError | undefined): void {
    this.closed++;
    this.error = error;
  }
}
