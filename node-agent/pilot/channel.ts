/** gRPC clients to a pilot, with the settings that keep a long stream honest and a dead one noticed. */
import * as grpc from '@grpc/grpc-js';
import { checkPilot } from '../../certs/client/pilot-root.ts';
import type { Clock } from '../../kit/clock.ts';
import { type ErrorCode, MeshError, messageOf } from '../../kit/errors.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { maxMessageBytes } from '../../proto/protocol.ts';
import type { Method } from '../../proto/rpc.ts';

/** For TLS's server name; who the pilot is says its certificate's SPIFFE name, not this. */
const serverName = 'pilot.heddle.mesh';

const channelOptions: grpc.ChannelOptions = {
  'grpc.enable_http_proxy': 0,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
  'grpc.ssl_target_name_override': serverName,
  'grpc.default_authority': serverName,
  // Reconnecting is ours: over several addresses, with pauses of our own.
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
};

export interface Trust {
  /** PEM roots. */
  readonly roots: string;
  readonly trustDomain: string;
  /** What this side shows; undefined where only the pilot is checked (the join). */
  readonly own: Pick<IdentityBundle, 'privateKey' | 'certificateChain'> | undefined;
}

/** A client of the pilot at `address`; nothing is connected before the first call. */
export function openChannel(address: string, trust: Trust, clock: Clock): grpc.Client {
  const key = trust.own === undefined ? null : Buffer.from(trust.own.privateKey);
  const chain = trust.own === undefined ? null : Buffer.from(trust.own.certificateChain);
  const credentials = grpc.credentials.createSsl(Buffer.from(trust.roots), key, chain, {
    checkServerIdentity: (_name, certificate) => {
      try {
        checkPilot(certificate.raw, trust.trustDomain, clock.wallMs());
        return undefined;
      } catch (error) {
        return error instanceof Error ? error : new Error(messageOf(error));
      }
    },
  });
  return new grpc.Client(address, credentials, channelOptions);
}

export interface CallOptions {
  /** Milliseconds since 1970. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** One call with one answer. Throws MeshError. */
export function callOnce<Request, Response>(
  client: grpc.Client,
  method: Method<Request, Response>,
  request: Request,
  { deadlineMs, signal }: CallOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new grpc.Metadata(),
      { deadline: deadlineMs },
      (error, response) => {
        signal?.removeEventListener('abort', onAbort);
        if (error !== null) reject(fromGrpc(error));
        else if (response === undefined)
          reject(new MeshError('unavailable', 'empty answer', { origin: 'upstream' }));
        else resolve(response);
      },
    );
    const onAbort = () => call.cancel();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) call.cancel();
  });
}

/** Our own word for what gRPC reports. */
export function fromGrpc(error: Error): MeshError {
  const status = 'code' in error && typeof error.code === 'number' ? error.code : grpc.status.UNKNOWN;
  const details = 'details' in error && typeof error.details === 'string' ? error.details : error.message;
  const code = codes[status as grpc.status] ?? 'internal';
  const retry = code === 'unavailable' || code === 'deadline_exceeded' ? 'always' : 'never';
  return new MeshError(code, details, { origin: 'upstream', retry, cause: error });
}

const codes: Partial<Record<grpc.status, ErrorCode>> = {
  [grpc.status.UNAVAILABLE]: 'unavailable',
  [grpc.status.DEADLINE_EXCEEDED]: 'deadline_exceeded',
  [grpc.status.CANCELLED]: 'unavailable',
  [grpc.status.PERMISSION_DENIED]: 'denied',
  [grpc.status.UNAUTHENTICATED]: 'identity_refused',
  [grpc.status.NOT_FOUND]: 'not_found',
  [grpc.status.ALREADY_EXISTS]: 'conflict',
  [grpc.status.ABORTED]: 'conflict',
  [grpc.status.FAILED_PRECONDITION]: 'invalid',
  [grpc.status.INVALID_ARGUMENT]: 'invalid',
  [grpc.status.RESOURCE_EXHAUSTED]: 'limit_exceeded',
  [grpc.status.UNIMPLEMENTED]: 'not_implemented',
};
