/** One gRPC port of the pilot: its limits, its binding, its end. */
import type { Http2SecureServer } from 'node:http2';
import { logVerbosity, Server, setLogVerbosity } from '@grpc/grpc-js';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { maxMessageBytes } from '../../proto/protocol.ts';
import type { PilotCredentials } from './credentials.ts';

export interface GrpcPort {
  /** The port it listens on. */
  readonly port: number;
  close(): void;
}

// What it would write to standard error comes to us as errors.
setLogVerbosity(logVerbosity.NONE);

const serverOptions = {
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
  'grpc.max_concurrent_streams': 256,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_channelz': 0,
} as const;

/** Listens on `host:port` (0 takes a free one) with the services that `add` registers. Throws `unavailable`. */
export async function openGrpcPort(
  address: { readonly host: string; readonly port: number },
  credentials: PilotCredentials,
  log: Log,
  add: (server: Server) => void,
): Promise<GrpcPort> {
  const server = new Server(serverOptions);
  add(server);
  const { host } = address;
  const target = `${host.includes(':') ? `[${host}]` : host}:${address.port}`;
  try {
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(target, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    logRefusals(server, log);
    return { port, close: () => server.forceShutdown() };
  } catch (cause) {
    server.forceShutdown();
    const why = messageOf(cause);
    const hint = why.includes('EADDRINUSE') ? 'the port is taken: choose another, or 0 for a free one' : why;
    throw new MeshError('unavailable', `cannot listen on ${target}: ${hint}`, { origin: 'local', cause });
  }
}

/** grpc-js keeps its HTTP/2 servers to itself, and only they hear of a handshake that failed. */
function logRefusals(server: Server, log: Log): void {
  const { http2Servers } = server as unknown as {
    readonly http2Servers: ReadonlyMap<Http2SecureServer, unknown>;
  };
  for (const secure of http2Servers.keys()) {
    secure.on('tlsClientError', (error, socket) => {
      // Node ends a connection whose certificate it refuses without an error of its own.
      const { authorizationError } = socket;
      const reason = authorizationError ? `its certificate is refused: ${authorizationError}` : error.message;
      log.warn('handshake failed', { address: socket.remoteAddress ?? 'gone', reason });
    });
  }
}
