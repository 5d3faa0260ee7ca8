/**
 * A long gRPC stream of one node: who it is, one message at a time, and an end in every state. A stream ends
 * with its certificate, so that no connection outlives the identity that opened it.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock, Timer } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { serviceErrorOf } from './grpc-status.ts';
import { type PeerNode, peerNodeOf } from './peer-node.ts';

export interface NodeCallOptions {
  readonly what: string;
  readonly trustDomain: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The stream as its service sees it. */
export interface NodeCall<Response> {
  readonly peer: PeerNode;
  send(response: Response): void;
  /** Ends the stream with a status. */
  fail(reason: unknown): void;
}

export interface NodeCallHandler<Request> {
  /** The next message comes once the promise settles; a rejection ends the stream with its status. */
  onMessage(request: Request): void | Promise<void>;
  /** Once, whoever ended it. */
  onClose(): void;
}

export function serveNodeCall<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
  options: NodeCallOptions,
  begin: (node: NodeCall<Response>) => NodeCallHandler<Request>,
): void {
  const { what, clock, trustDomain } = options;
  let state: 'open' | 'closed' = 'open';
  let handler: NodeCallHandler<Request> | undefined;
  let expiry: Timer | undefined;
  let log = options.log;

  function close(): void {
    if (state === 'closed') return;
    state = 'closed';
    expiry?.cancel();
    handler?.onClose();
  }

  function fail(reason: unknown): void {
    if (state === 'closed') return;
    const isOurs = !(reason instanceof MeshError);
    log[isOurs ? 'error' : 'warn'](`${what} stream ended`, {
      reason: isOurs && reason instanceof Error ? reason.stack : messageOf(reason),
    });
    close();
    call.emit('error', serviceErrorOf(reason));
  }

  function receive(request: Request): void {
    if (state === 'closed' || handler === undefined) return;
    try {
      const done = handler.onMessage(request);
      if (done === undefined) return;
      call.pause();
      done.then(() => call.resume(), fail);
    } catch (error) {
      fail(error);
    }
  }

  // Whatever comes after the end is of no interest, but an 'error' without a listener would end the process.
  call.on('error', close);
  call.on('cancelled', close);
  call.on('close', close);
  call.on('end', () => {
    close();
    call.end();
  });
  try {
    const peer = peerNodeOf(call, trustDomain, clock.wallMs());
    log = log.with({ node: peer.node });
    log.info(`${what} stream opened`);
    const send = (response: Response): void => {
      if (state === 'open') call.write(response);
    };
    handler = begin({ peer, send, fail });
    expiry = clock.after(peer.notAfterMs - clock.wallMs(), () => fail(expired(peer)));
    call.on('data', receive);
  } catch (error) {
    fail(error);
  }
}

function expired({ node }: PeerNode): MeshError {
  const why = `the certificate of node '${node}' ended; come again with the next one`;
  return new MeshError('identity_refused', why, { origin: 'downstream', retry: 'always' });
}
