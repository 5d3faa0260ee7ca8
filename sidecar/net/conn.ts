/**
 * A byte connection as codecs see it: plain or TLS, accepted or dialled.
 *
 * What is written within one loop turn leaves in as few system calls as possible: pieces are collected and
 * flushed together by the turn's flusher (`flush.ts`). `socket-conn.ts` is the real one.
 */
import type { MeshError } from '../../kit/errors.ts';

export interface Conn {
  readonly peer: Peer;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Bytes written but not yet taken by the kernel. */
  readonly unsentBytes: number;
  /** Whether the writer should wait for `onWritable`; who reads true is called. */
  readonly isFull: boolean;
  /** Hands the connection to another handler (after detection, or when a protocol was upgraded). */
  setHandler(handler: ConnHandler): void;
  /** Queues latin1 text. */
  writeText(text: string): void;
  /** Queues bytes, which from now on belong to the connection; many small ones are best joined by the caller. */
  write(bytes: Buffer): void;
  /** Sends FIN once everything is written; reading goes on. */
  finish(): void;
  /** Sends what is queued, then closes readably: FIN, a bounded read until the peer closes, then destroy. */
  close(): void;
  /** Closes now; what is queued is lost. `onClosed` follows with this error. */
  destroy(error?: MeshError): void;
  /** The same, and the peer sees that it was cut: RST instead of FIN. */
  reset(error?: MeshError): void;
  pause(): void;
  resume(): void;
}

export interface ConnHandler {
  onData(chunk: Buffer): void;
  /** The peer sent FIN. */
  onEnd(): void;
  /** After `isFull` was seen true: there is room again. */
  onWritable(): void;
  /** Called once; the connection is gone. `error` is absent after an orderly close. */
  onClosed(error: MeshError | undefined): void;
}

export interface Peer {
  /** Literal address, without brackets or zone. */
  readonly address: string;
  readonly port: number;
  /** Absent on plaintext. */
  readonly tls: PeerTls | undefined;
}

export interface PeerTls {
  /** The peer's verified SPIFFE name; undefined where it showed no certificate (permissive ports only). */
  readonly identity: string | undefined;
  readonly serverName: string | undefined;
  readonly protocol: string | undefined;
  /** When the peer's certificate ends, in ms since 1970. */
  readonly notAfterMs: number | undefined;
}

/** Something that has bytes to write at the end of the turn. */
export interface Flushable {
  /** Set and cleared by the flusher alone; false at first. */
  flushScheduled: boolean;
  flush(): void;
}

/**
 * Calls `flush` of everything scheduled once, in the check phase of this loop turn, in the order of scheduling.
 * What is scheduled by a `flush` (a link that writes to its connection) runs in the same pass, after it.
 */
export interface Flusher {
  /** Does nothing for what is scheduled already. */
  schedule(flushable: Flushable): void;
  /** The same after what other connections brought meanwhile: from within a `flush`, in the next loop turn. */
  postpone(flushable: Flushable): void;
}
