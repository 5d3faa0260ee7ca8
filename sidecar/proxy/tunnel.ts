/**
 * One opaque TCP connection: bytes in both directions, each at the pace of its reader, FIN passed on by itself.
 * What breaks on one side breaks on the other (RST for RST), so that a cut is never taken for an end.
 * Counted and logged like a request, with its bytes.
 */
import type { Buffer } from 'node:buffer';
import { MeshError } from '../../kit/errors.ts';
import type { Conn, ConnHandler } from '../net/conn.ts';
import { type TimerOwner, WheelTimer } from '../net/timer-wheel.ts';
import { flag } from '../observe/flags.ts';
import type { Outcome } from '../observe/outcome.ts';
import type { SeriesSet } from '../observe/series.ts';
import { answerFor } from './respond.ts';
import type { ProxyState } from './serve.ts';

export interface TunnelInit {
  readonly proxy: ProxyState;
  readonly direction: 'inbound' | 'outbound';
  readonly downstream: Conn;
  readonly cluster: string;
  readonly route: string;
  /** What was read of a downstream that has sent its FIN already; undefined of one that is still to be read. */
  readonly whole?: Buffer | undefined;
  readonly isMtls: boolean;
  readonly series: SeriesSet;
  /** Without a byte either way for so long both sides are closed; 0 is never. */
  readonly idleMs: number;
  /** Called once at the end. */
  readonly onEnd: () => void;
}

/** How long the side that still speaks may be silent once the other has ended, where the idle time allows more. */
const halfClosedIdleMs = 300_000;
/** A tunnel that ended as it should counts as 200, one that failed as 502. */
const doneStatus = 200;

export class Tunnel implements Outcome, TimerOwner {
  readonly direction: 'inbound' | 'outbound';
  readonly protocol = 'tcp';
  readonly method = '';
  readonly authority = '';
  readonly path = '';
  readonly requestId = '';
  readonly grpcStatus = undefined;
  readonly route: string;
  readonly cluster: string;
  endpoint = '';
  attempts = 0;
  readonly source: string;
  readonly downstreamAddress: string;
  status = doneStatus;
  flags = 0;
  requestBytes = 0;
  responseBytes = 0;
  durationMs = 0;
  firstByteMs = 0;
  detail = '';

  readonly #init: TunnelInit;
  readonly #startedMs: number;
  readonly #timer = new WheelTimer(this);
  #upstream: Conn | undefined;
  #state: 'connecting' | 'open' | 'closed' = 'connecting';
  #closedSides = 0;
  #hasDownstreamEnded = false;
  #hasUpstreamEnded = false;
  #seenBytes = -1;

  constructor(init: TunnelInit) {
    const { peer } = init.downstream;
    this.#init = init;
    this.direction = init.direction;
    this.route = init.route;
    this.cluster = init.cluster;
    this.source = peer.tls?.identity ?? '';
    this.downstreamAddress = `${peer.address}:${peer.port}`;
    this.#startedMs = init.proxy.clock.nowMs();
    init.proxy.metrics.active++;
    init.proxy.tunnels.add(this);
    init.downstream.setHandler(new Half(this, init.downstream, 'downstream'));
    // Taking it over makes it flow; its bytes have nowhere to go yet.
    init.downstream.pause();
  }

  get startedWallMs(): number {
    return this.#init.proxy.clock.wallMs() - this.durationMs;
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** An endpoint is tried. */
  attempt(endpoint: string): void {
    this.endpoint = endpoint;
    this.attempts++;
  }

  /** The upstream is there: bytes flow from now on. */
  join(upstream: Conn): void {
    if (this.#state === 'closed') {
      upstream.reset();
      return;
    }
    this.#state = 'open';
    this.#upstream = upstream;
    upstream.setHandler(new Half(this, upstream, 'upstream'));
    const { whole, downstream, idleMs, proxy } = this.#init;
    if (idleMs > 0) proxy.timers.arm(this.#timer, idleMs);
    if (whole !== undefined) {
      this.requestBytes = whole.length;
      upstream.write(whole);
      this.#hasDownstreamEnded = true;
    }
    // A FIN without bytes before it is heard of also while reading is paused.
    if (this.#hasDownstreamEnded) this.ended('downstream');
    else downstream.resume();
  }

  /** Ends both sides at once. */
  abort(error: MeshError): void {
    if (this.#state === 'closed') return;
    this.status = 502;
    this.flags |= answerFor(error).flag;
    this.detail = error.message;
    this.#finish();
    this.#init.downstream.reset(error);
    this.#upstream?.reset(error);
  }

  onTimer(): void {
    if (this.#state === 'closed') return;
    const moved = this.requestBytes + this.responseBytes;
    if (moved === this.#seenBytes) {
      this.flags |= flag.idle;
      this.abort(new MeshError('idle_timeout', 'nothing moved for the idle time', { origin: 'local' }));
      return;
    }
    this.#seenBytes = moved;
    this.#init.proxy.timers.arm(this.#timer, this.#idleMs);
  }

  // For the two halves.

  otherSide(side: Side): Conn | undefined {
    return side === 'downstream' ? this.#upstream : this.#init.downstream;
  }

  count(side: Side, bytes: number): void {
    if (side === 'downstream') this.requestBytes += bytes;
    else this.responseBytes += bytes;
  }

  /** FIN came from one side and goes on to the other. */
  ended(side: Side): void {
    if (side === 'downstream') this.#hasDownstreamEnded = true;
    else this.#hasUpstreamEnded = true;
    this.otherSide(side)?.finish();
    if (this.#state === 'open') this.#init.proxy.timers.arm(this.#timer, this.#idleMs);
  }

  closed(side: Side, error: MeshError | undefined): void {
    // `abort` resets both sides; an end in good order would come before its RST.
    if (this.#state === 'closed') return;
    const hasEnded = side === 'downstream' ? this.#hasDownstreamEnded : this.#hasUpstreamEnded;
    if (error !== undefined || !hasEnded) {
      this.abort(error ?? gone(side));
      return;
    }
    this.#closedSides++;
    if (this.#upstream === undefined || this.#closedSides === 2) this.#finish();
    else this.otherSide(side)?.close();
  }

  get #idleMs(): number {
    const { idleMs } = this.#init;
    if (!this.#hasDownstreamEnded && !this.#hasUpstreamEnded) return idleMs;
    return idleMs > 0 ? Math.min(idleMs, halfClosedIdleMs) : halfClosedIdleMs;
  }

  #finish(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    const { proxy, series, isMtls, onEnd } = this.#init;
    proxy.timers.disarm(this.#timer);
    proxy.metrics.active--;
    proxy.tunnels.delete(this);
    this.durationMs = proxy.clock.nowMs() - this.#startedMs;
    const id = series.id(false, isMtls);
    proxy.metrics.record(id, this.status, this.flags, this.durationMs);
    proxy.metrics.recordBytes(id, this.requestBytes, this.responseBytes);
    if (proxy.accessLog.wants(this.status, this.flags)) proxy.accessLog.write(this);
    onEnd();
  }
}

type Side = 'downstream' | 'upstream';

function gone(side: Side): MeshError {
  return new MeshError('connection_closed', 'connection closed without an end', { origin: side });
}

/** What one side's connection tells. */
class Half implements ConnHandler {
  readonly #tunnel: Tunnel;
  readonly #conn: Conn;
  readonly #side: Side;

  constructor(tunnel: Tunnel, conn: Conn, side: Side) {
    this.#tunnel = tunnel;
    this.#conn = conn;
    this.#side = side;
  }

  onData(chunk: Buffer): void {
    this.#tunnel.count(this.#side, chunk.length);
    const other = this.#tunnel.otherSide(this.#side);
    other?.write(chunk);
    if (other?.isFull) this.#conn.pause();
  }

  onEnd(): void {
    this.#tunnel.ended(this.#side);
  }

  /** There is room on this side: the other may go on. */
  onWritable(): void {
    this.#tunnel.otherSide(this.#side)?.resume();
  }

  onClosed(error: MeshError | undefined): void {
    this.#tunnel.closed(this.#side, error);
  }
}
