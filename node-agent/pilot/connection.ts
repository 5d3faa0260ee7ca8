/**
 * The two streams to a pilot, Config and Node, over mutual TLS: opened together, ended together, and opened again
 * with growing pauses at the next address. Whoever uses them is told when they open and end.
 */
import type * as grpc from '@grpc/grpc-js';
import { type Backoff, createBackoff } from '../../kit/backoff.ts';
import type { Clock, Timer } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { ConfigRequest, ConfigResponse } from '../../proto/config-wire.ts';
import type { UnknownMessage } from '../../proto/conversation.ts';
import type { NodeOrder, NodeReport } from '../../proto/node-wire.ts';
import { configStream, type Method, nodeReport } from '../../proto/rpc.ts';
import { callOnce, fromGrpc, openChannel } from './channel.ts';

export interface PilotStreams {
  config(request: ConfigRequest): void;
  report(report: NodeReport): void;
}

export interface PilotConnectionInit {
  /** `HOST:PORT`, in order of preference. */
  readonly addresses: readonly string[];
  readonly trustDomain: string;
  /** What this node shows now; undefined while it has nothing valid. */
  readonly identity: () => IdentityBundle | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Streams are open as far as this side knows: what is sent now goes once the pilot answers. */
  readonly onOpen: (streams: PilotStreams) => void;
  readonly onConfig: (response: ConfigResponse) => void;
  readonly onOrder: (order: NodeOrder) => void;
  readonly onClose: () => void;
}

interface Attempt {
  readonly address: string;
  readonly client: grpc.Client;
  readonly config: grpc.ClientDuplexStream<ConfigRequest, ConfigResponse | UnknownMessage>;
  readonly report: grpc.ClientDuplexStream<NodeReport, NodeOrder | UnknownMessage>;
  /** Ends the attempt where the pilot does not say hello. */
  readonly patience: Timer;
}

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly timer: Timer }
  | { readonly kind: 'connecting'; readonly attempt: Attempt }
  | { readonly kind: 'open'; readonly attempt: Attempt }
  | { readonly kind: 'closed' };

const reconnect = { baseMs: 200, maxMs: 10_000, jitter: 0.5 } as const;
/** From opening a stream to the pilot's hello. */
const helloMs = 10_000;
const callMs = 30_000;
/** Messages that wait for a slow pilot; beyond, the streams begin anew. */
const maxWaiting = 10_000;

export class PilotConnection {
  readonly #init: PilotConnectionInit;
  readonly #backoff: Backoff;
  #state: State = { kind: 'idle' };
  #next = 0;

  constructor(init: PilotConnectionInit) {
    this.#init = init;
    this.#backoff = createBackoff(reconnect, init.random);
  }

  /** Whether a pilot answers now, for status. */
  get pilot(): string | undefined {
    return this.#state.kind === 'open' ? this.#state.attempt.address : undefined;
  }

  start(): void {
    if (this.#state.kind === 'idle') this.#connect();
  }

  /** Begins anew with the identity as it is now. */
  reopen(): void {
    if (this.#state.kind !== 'connecting' && this.#state.kind !== 'open') return;
    this.#end(this.#state.attempt, 'certificate renewed', 0);
  }

  /** One call to a pilot, whichever answers. Throws MeshError. */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    signal?: AbortSignal,
  ): Promise<Response> {
    const { clock, addresses } = this.#init;
    const attempt = 'attempt' in this.#state ? this.#state.attempt : undefined;
    const deadlineMs = clock.wallMs() + callMs;
    const options = { deadlineMs, ...(signal === undefined ? {} : { signal }) };
    if (attempt !== undefined) return callOnce(attempt.client, method, request, options);
    const client = this.#openChannel(addresses[this.#next % addresses.length] ?? '');
    if (client === undefined) throw noIdentity();
    try {
      return await callOnce(client, method, request, options);
    } finally {
      client.close();
    }
  }

  close(): void {
    const state = this.#state;
    this.#state = { kind: 'closed' };
    if (state.kind === 'waiting') state.timer.cancel();
    if (!('attempt' in state)) return;
    this.#tearDown(state.attempt);
    this.#init.onClose();
  }

  #openChannel(address: string): grpc.Client | undefined {
    const { identity, trustDomain, clock } = this.#init;
    const own = identity();
    return own === undefined
      ? undefined
      : openChannel(address, { roots: own.trustBundle, trustDomain, own }, clock);
  }

  #connect(): void {
    const { addresses, log, onOpen } = this.#init;
    const address = addresses[this.#next % addresses.length] ?? '';
    const client = this.#openChannel(address);
    if (client === undefined) {
      log.error('no valid certificate for this node: join again with a new token', {});
      this.#wait(reconnect.maxMs);
      return;
    }
    const attempt: Attempt = {
      address,
      client,
      config: openStream(client, configStream),
      report: openStream(client, nodeReport),
      patience: this.#init.clock.after(helloMs, () => this.#end(attempt, `no hello within ${helloMs} ms`)),
    };
    this.#state = { kind: 'connecting', attempt };
    this.#listen(attempt);
    onOpen({
      config: (request) => this.#send(attempt, attempt.config, request),
      report: (report) => this.#send(attempt, attempt.report, report),
    });
  }

  #listen(attempt: Attempt): void {
    const { onConfig, onOrder } = this.#init;
    const hear = (act: () => void): void => {
      if (!this.#isCurrent(attempt)) return;
      try {
        act();
      } catch (error) {
        this.#init.log.error('pilot broke the protocol', {
          pilot: attempt.address,
          reason: messageOf(error),
        });
        this.#end(attempt, messageOf(error));
      }
    };
    attempt.config.on('data', (response: ConfigResponse | UnknownMessage) => {
      if (response.kind === 'unknown') return;
      hear(() => {
        onConfig(response);
        if (response.kind === 'hello') this.#opened(attempt);
      });
    });
    attempt.report.on('data', (order: NodeOrder | UnknownMessage) => {
      if (order.kind !== 'unknown') hear(() => onOrder(order));
    });
    for (const stream of [attempt.config, attempt.report]) {
      stream.on('error', (error: Error) => this.#end(attempt, fromGrpc(error).message));
      stream.on('end', () => this.#end(attempt, 'the pilot ended the stream'));
    }
  }

  #opened(attempt: Attempt): void {
    if (this.#state.kind !== 'connecting') return;
    attempt.patience.cancel();
    this.#backoff.reset();
    this.#state = { kind: 'open', attempt };
    this.#init.log.info('connected to pilot', { pilot: attempt.address });
  }

  #send<Message>(
    attempt: Attempt,
    stream: { write(message: Message): boolean; writableLength: number },
    message: Message,
  ): void {
    if (!this.#isCurrent(attempt)) return;
    stream.write(message);
    if (stream.writableLength > maxWaiting) this.#end(attempt, `${maxWaiting} messages wait for the pilot`);
  }

  #isCurrent(attempt: Attempt): boolean {
    return 'attempt' in this.#state && this.#state.attempt === attempt;
  }

  #end(attempt: Attempt, reason: string, delayMs = this.#backoff.nextMs()): void {
    if (!this.#isCurrent(attempt)) return;
    const wasOpen = this.#state.kind === 'open';
    // Waiting is the state before anybody is told, so that nobody sends on what is gone.
    this.#next += wasOpen ? 0 : 1;
    this.#tearDown(attempt);
    this.#wait(delayMs);
    const fields = { pilot: attempt.address, reason, retryMs: Math.round(delayMs) };
    if (wasOpen) this.#init.log.warn('pilot lost', fields);
    else this.#init.log.info('pilot not reached', fields);
    this.#init.onClose();
  }

  #wait(delayMs: number): void {
    this.#state = { kind: 'waiting', timer: this.#init.clock.after(delayMs, () => this.#connect()) };
  }

  #tearDown({ client, config, report, patience }: Attempt): void {
    patience.cancel();
    for (const stream of [config, report]) {
      stream.removeAllListeners();
      // Cancelling reports an error of its own.
      stream.on('error', () => {});
      stream.cancel();
    }
    client.close();
  }
}

function openStream<Sent, Heard>(
  client: grpc.Client,
  method: Method<Sent, never, unknown, Heard> | Method<Sent, Heard & {}, unknown, Heard>,
): grpc.ClientDuplexStream<Sent, Heard> {
  return client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
}

function noIdentity(): MeshError {
  return new MeshError('unavailable', 'this node has no valid certificate', {
    origin: 'local',
    retry: 'always',
  });
}
