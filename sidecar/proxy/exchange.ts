// hot: one object per request; its methods are the callbacks of both codecs.
/**
 * One request, from its head to its last byte. An Exchange hears of the downstream (RequestReceiver),
 * of the connection it waits for (ConnectionWaiter) and of the upstream (ResponseReceiver); at the end
 * it is the record that access log and metrics read (Outcome).
 *
 *   planning ─forward▶ connecting ─onConnection▶ waiting ─onResponse▶ responding ─▶ done
 *                          ▲──────────── retry ─────┘
 */
import type { Buffer } from 'node:buffer';
import { MeshError } from '../../kit/errors.ts';
import type { RequestView } from '../../mesh/decide/routes.ts';
import type { Host } from '../cluster/live-cluster.ts';
import type { ConnectionWaiter } from '../cluster/pool.ts';
import { versionFor } from '../cluster/reach.ts';
import type {
  ClientConnection,
  ClientStream,
  RequestHead,
  RequestReceiver,
  ResponseHead,
  ResponseReceiver,
  ServerStream,
} from '../codec/codec.ts';
import { Field, fieldValue } from '../codec/field.ts';
import type { Filter } from '../filter/filter.ts';
import type { TimerOwner } from '../net/timer-wheel.ts';
import { flag } from '../observe/flags.ts';
import type { Outcome } from '../observe/outcome.ts';
import type { SeriesSet } from '../observe/series.ts';
import type { Forwarding, Runtime } from '../runtime/runtime.ts';
import { bodyTooLong, isTooLong } from './body-bound.ts';
import { Deadlines } from './deadlines.ts';
import { grpcStatusIn, passOnTimeout } from './grpc.ts';
import { recordEnd } from './record.ts';
import { RequestBody } from './request-body.ts';
import { type RequestFindings, readFields } from './request-fields.ts';
import { type Answer, answerFor, endWithStatus, respond } from './respond.ts';
import { goesOnlyElsewhere, mayRetry, retryLimits } from './retry.ts';
import type { ServeContext } from './serve.ts';
import { viaFor } from './stamp.ts';

export type Stage = 'planning' | 'connecting' | 'waiting' | 'responding' | 'done';

export class Exchange
  implements
    RequestReceiver,
    ResponseReceiver,
    ConnectionWaiter,
    TimerOwner,
    RequestView,
    RequestFindings,
    Outcome
{
  readonly head: RequestHead;
  readonly context: ServeContext;
  /** Read once: a request sees one configuration from start to end. */
  runtime: Runtime;
  readonly startedMs: number;
  stage: Stage = 'planning';
  requestId = '';
  isGrpc = false;
  callerMs = -1;
  linkPort: number;
  /** The port of this workload that is asked for, or -1; the inbound planner sets it. */
  receiverPort = -1;
  /** Where to count; the planner sets it. */
  series: SeriesSet | undefined;

  status = 0;
  grpcStatus: number | undefined;
  flags = 0;
  route = '';
  cluster = '';
  endpoint = '';
  attempts = 0;
  requestBytes = 0;
  responseBytes = 0;
  durationMs = 0;
  firstByteMs = 0;
  detail = '';

  readonly #stream: ServerStream;
  #forwarding: Forwarding | undefined;
  #host: Host | undefined;
  #upstream: ClientStream | undefined;
  #connection: ClientConnection | undefined;
  /** Undefined where the request has none. */
  readonly #body: RequestBody | undefined;
  #responseEnded = false;
  #portFieldAt = -1;
  #isMtls = false;
  readonly #deadlines = new Deadlines(this);
  /** Neighbours in the context's list of live exchanges (`live-list.ts`). */
  previous: Exchange | undefined;
  next: Exchange | undefined;

  constructor(context: ServeContext, stream: ServerStream, head: RequestHead, end: boolean) {
    this.context = context;
    this.runtime = context.proxy.runtime;
    this.head = head;
    this.linkPort = context.linkPort;
    this.#stream = stream;
    this.#body = end ? undefined : new RequestBody(stream);
    this.startedMs = context.proxy.clock.nowMs();
    readFields(head.fields, this);
    if (this.requestId === '') this.#stampRequestId();
    context.proxy.metrics.active++;
    context.proxy.live.add(this);
  }

  /** Sends the request to an endpoint of the cluster. */
  forward(forwarding: Forwarding): void {
    if (this.stage !== 'planning') return;
    const { cluster } = forwarding;
    const { name, limits } = cluster.description;
    this.route = forwarding.route;
    this.cluster = name;
    if (cluster.active >= limits.maxRequests) {
      const message = `${name} has ${cluster.active} requests in flight, its limit`;
      this.refuse(new MeshError('limit_exceeded', message, { origin: 'local' }));
      return;
    }
    this.#forwarding = forwarding;
    if (this.runtime.snapshot.self.via) this.head.fields.push(viaFor(this.context.protocol));
    cluster.active++;
    const { timeouts } = cluster.description;
    const requestMs = forwarding.requestMs ?? timeouts.requestMs;
    const deadlines = this.#deadlines;
    if (requestMs > 0) deadlines.requestMs = this.startedMs + requestMs;
    if (this.callerMs >= 0)
      deadlines.requestMs = Math.min(deadlines.requestMs, this.startedMs + this.callerMs);
    deadlines.boundIdle(this.startedMs, timeouts.idleMs);
    this.#connect(undefined, undefined);
  }

  /** Answers in place of an upstream: no route, denied, a limit, a failure. */
  refuse(error: MeshError): void {
    if (this.stage === 'done') return;
    this.detail = error.message;
    this.answer(answerFor(error), error.message);
  }

  /** Answers with a status of ours; `message` is the body. */
  answer(answer: Answer, message: string): void {
    this.flags |= answer.flag;
    this.status = answer.status;
    if (this.isGrpc) this.grpcStatus = answer.grpcStatus;
    if (answer.status !== 0)
      respond(this.#stream, answer, message, this.isGrpc, this.context.proxy.dates.field);
    this.#finish();
  }

  /** Answers with a head alone, such as a redirect. */
  answerHead(head: ResponseHead): void {
    this.status = head.status;
    this.context.proxy.dates.addTo(head.fields);
    this.#stream.sendResponse(head, true);
    this.#finish();
  }

  /** The caller may try another instance (RFC 9113 §8.7): nobody saw the request, or twice is as once. */
  #giveBack(error: MeshError): void {
    const answer = answerFor(error);
    this.status = answer.status;
    this.flags |= answer.flag;
    if (this.isGrpc) this.grpcStatus = answer.grpcStatus;
    this.detail = error.message;
    // A time that is up would be up again here; whatever else it was may be over.
    const code = error.code === 'connect_timeout' ? error.code : 'stream_refused';
    this.#stream.reset(new MeshError(code, error.message, { origin: 'upstream', cause: error }));
    this.#finish();
  }

  /** Ends a live exchange from our side: a changed authorization, a drain that took too long, time that is up. */
  abort(error: MeshError): void {
    if (this.stage === 'done') return;
    if (this.stage !== 'responding') {
      this.#leaveUpstream(error);
      this.refuse(error);
      return;
    }
    this.#leaveUpstream(error);
    this.#endShort(error);
  }

  /** The response has begun and cannot become whole: a gRPC caller learns why, any other that it is cut. */
  #endShort(error: MeshError): void {
    const answer = answerFor(error);
    this.flags |= answer.flag;
    this.detail = error.message;
    // In HTTP/1.1 trailers are often ignored, and what ends with them looks whole.
    if (this.isGrpc && this.context.protocol === 'http2') {
      this.grpcStatus = answer.grpcStatus;
      endWithStatus(this.#stream, answer, error.message);
    } else this.#stream.reset(error);
    this.#finish();
  }

  onConnection(connection: ClientConnection): boolean {
    if (this.callerMs >= 0) {
      const nowMs = this.context.proxy.clock.nowMs();
      // It may have passed in line, and the coarse timer be yet to come.
      const late = this.#deadlines.passed(nowMs, this.requestBytes);
      if (late !== undefined) {
        this.refuse(late);
        return false;
      }
      passOnTimeout(this.head.fields, this.#deadlines.requestMs - nowMs);
    }
    this.stage = 'waiting';
    this.#connection = connection;
    const host = this.#host as Host;
    if (host.portField !== undefined) this.#setPortField(host.portField);
    const body = this.#body;
    const end = body === undefined || body.isEmpty;
    const upstream = connection.request(this.head, end, this);
    // The codec may have failed the request within the call.
    if (this.#connection !== connection) return true;
    this.#upstream = upstream;
    if (!end) body.sendTo(upstream);
    return true;
  }

  onConnectFailed(error: MeshError): void {
    this.onResponseAborted(error);
  }

  onRequestData(chunk: Buffer): void {
    this.requestBytes += chunk.length;
    if (isTooLong(this.head, this.requestBytes)) this.abort(bodyTooLong());
    if (this.stage === 'done') return;
    this.#body?.take(chunk, this.#upstream);
  }

  onRequestEnd(trailers: readonly Field[] | undefined): void {
    if (this.stage === 'done') return;
    this.#body?.end(trailers, this.#upstream);
    if (this.#responseEnded) this.#finish();
  }

  onRequestAborted(error: MeshError): void {
    if (this.stage === 'done') return;
    this.flags |= answerFor(error).flag;
    this.detail = error.message;
    this.#leaveUpstream(error);
    this.#finish();
  }

  onResponseWritable(): void {
    this.#upstream?.resumeResponse();
  }

  // ── ResponseReceiver ────────────────────────────────────────────────────────────────────────────────────

  onInformational(head: ResponseHead): void {
    if (this.stage === 'waiting') this.#stream.sendInformational(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.stage !== 'waiting') return;
    this.stage = 'responding';
    this.#body?.letGo();
    this.firstByteMs = this.context.proxy.clock.nowMs() - this.startedMs;
    this.status = head.status;
    if (this.isGrpc) this.grpcStatus = grpcStatusIn(head.fields);
    const filters = (this.#forwarding as Forwarding).filters;
    for (let at = filters.length - 1; at >= 0; at--) (filters[at] as Filter).onResponse?.(head);
    this.context.proxy.dates.addTo(head.fields);
    if (this.runtime.snapshot.self.via) this.#stampVia(head);
    this.#deadlines.onAnswer(head.status === 101);
    this.#stream.sendResponse(head, end);
    if (end) this.#endResponse();
  }

  onResponseData(chunk: Buffer): void {
    if (this.stage !== 'responding') return;
    this.responseBytes += chunk.length;
    if (!this.#stream.sendData(chunk)) this.#upstream?.pauseResponse();
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    if (this.stage !== 'responding') return;
    if (this.isGrpc && trailers !== undefined) this.grpcStatus = grpcStatusIn(trailers) ?? this.grpcStatus;
    this.#stream.sendEnd(trailers);
    this.#endResponse();
  }

  onResponseAborted(error: MeshError): void {
    if (this.stage === 'done') return;
    this.#upstream = undefined;
    this.#connection = undefined;
    if (this.stage === 'responding') {
      this.#endShort(error);
      return;
    }
    const policy = this.#forwarding?.cluster.description.retry;
    const mayReplay = this.#body === undefined || this.#body.mayReplay;
    if (mayReplay && policy && mayRetry(error, this.head.method, this.attempts, policy)) {
      this.#connect(this.#releaseHost(), error);
      return;
    }
    if (this.context.isLink && error.retry === 'always') this.#giveBack(error);
    else this.refuse(error);
  }

  onRequestWritable(): void {
    if (this.stage !== 'done') this.#body?.resume();
  }

  // ── TimerEntry ──────────────────────────────────────────────────────────────────────────────────────────

  onTimer(): void {
    if (this.stage === 'done') return;
    const { clock, timers } = this.context.proxy;
    const nowMs = clock.nowMs();
    const error = this.#deadlines.passed(nowMs, this.requestBytes + this.responseBytes);
    if (error === undefined) this.#deadlines.arm(timers, nowMs);
    else this.abort(error);
  }

  // ── RequestView ─────────────────────────────────────────────────────────────────────────────────────────

  header(name: string): string | undefined {
    return fieldValue(this.head.fields, name);
  }

  // ── Outcome ─────────────────────────────────────────────────────────────────────────────────────────────

  get direction(): 'inbound' | 'outbound' {
    return this.context.direction;
  }
  get protocol(): string {
    return this.isGrpc ? 'grpc' : this.context.protocol;
  }
  get method(): string {
    return this.head.method;
  }
  get authority(): string {
    return this.head.authority;
  }
  get path(): string {
    return this.head.path;
  }
  get source(): string {
    return this.context.peer.tls?.identity ?? '';
  }
  get downstreamAddress(): string {
    return `${this.context.peer.address}:${this.context.peer.port}`;
  }
  get startedWallMs(): number {
    return this.context.proxy.clock.wallMs() - this.durationMs;
  }

  // ── steps ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Elsewhere than at `failed`, where there is another. */
  #connect(failed: Host | undefined, error: MeshError | undefined): void {
    const { cluster, attemptMs } = this.#forwarding as Forwarding;
    const { clock, timers } = this.context.proxy;
    const nowMs = clock.nowMs();
    const late = this.#deadlines.passed(nowMs, this.requestBytes);
    if (late !== undefined) {
      this.refuse(late);
      return;
    }
    const host = cluster.pick(failed);
    this.stage = 'connecting';
    if (host === undefined) {
      const message = `${this.cluster} has no ready endpoint`;
      this.refuse(new MeshError('no_healthy_endpoint', message, { origin: 'local' }));
      return;
    }
    if (host === failed && error !== undefined && goesOnlyElsewhere(error)) {
      // To a caller over a link this instance is one of several.
      if (this.context.isLink) this.#giveBack(error);
      else this.refuse(error);
      return;
    }
    if (error !== undefined) this.flags |= flag.retried;
    this.attempts++;
    this.#host = host;
    this.endpoint = host.endpoint.id;
    this.#isMtls = this.context.peer.tls !== undefined || host.endpoint.transport !== 'plain';
    host.active++;
    if (attemptMs !== undefined && attemptMs > 0) this.#deadlines.attemptMs = nowMs + attemptMs;
    this.#deadlines.arm(timers, nowMs);
    if (host === failed && error?.retry === 'if_idempotent') this.#acquireSoon(host);
    else host.pool.acquire(this);
  }

  /** What ended the connection may be about to end the others, and the application itself. */
  #acquireSoon(host: Host): void {
    this.context.proxy.clock.after(retryLimits.sameEndpointMs, () => {
      if (this.stage === 'connecting' && this.#host === host) host.pool.acquireFresh(this);
    });
  }

  #stampRequestId(): void {
    this.requestId = this.context.proxy.requestIds.next();
    this.head.fields.push(new Field('x-request-id', this.requestId));
  }

  #stampVia(head: ResponseHead): void {
    const { endpoint } = this.#host as Host;
    head.fields.push(viaFor(versionFor(endpoint, (this.#forwarding as Forwarding).cluster.description)));
  }

  #endResponse(): void {
    this.#responseEnded = true;
    // Bytes of an accepted upgrade may still flow towards the upstream.
    const isRequestEnded = this.#body === undefined || this.#body.isEnded;
    if (this.status === 101 && !isRequestEnded) return;
    if (!isRequestEnded) {
      // The answer is complete, so what is left of the request is of no use to the upstream (RFC 9113 §8.1).
      this.#upstream?.cancel(
        new MeshError('stream_reset', 'answered before the request ended', { origin: 'local' }),
      );
    }
    this.#finish();
  }

  #leaveUpstream(error: MeshError): void {
    if (this.stage === 'connecting') this.#host?.pool.forget(this);
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.#connection = undefined;
    upstream?.cancel(error);
  }

  #releaseHost(): Host | undefined {
    const host = this.#host;
    this.#host = undefined;
    if (host !== undefined) host.active--;
    return host;
  }

  /** Everything ends here, once. */
  #finish(): void {
    if (this.stage === 'done') return;
    this.stage = 'done';
    const { proxy } = this.context;
    this.#deadlines.disarm(proxy.timers);
    this.#upstream = undefined;
    this.#connection = undefined;
    this.#body?.letGo();
    this.#releaseHost();
    if (this.#forwarding !== undefined) this.#forwarding.cluster.active--;
    proxy.live.remove(this);
    proxy.metrics.active--;
    this.durationMs = proxy.clock.nowMs() - this.startedMs;
    const series = (this.series ?? this.context.unrouted).id(this.isGrpc, this.#isMtls);
    recordEnd(proxy, series, this, this.isGrpc);
  }

  #setPortField(field: Field): void {
    if (this.#portFieldAt < 0) this.#portFieldAt = this.head.fields.push(field) - 1;
    else this.head.fields[this.#portFieldAt] = field;
  }
}
