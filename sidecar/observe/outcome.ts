/**
 * How one request ended, as access log and metrics read it. The exchange itself has this shape,
 * so that nothing is copied per request.
 */
export interface Outcome {
  readonly direction: 'inbound' | 'outbound';
  readonly protocol: string;
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly requestId: string;
  /** Final status, or 0 where none was sent. */
  readonly status: number;
  /** Of a gRPC reply, else undefined. */
  readonly grpcStatus: number | undefined;
  /** Bits of `flags.ts`. */
  readonly flags: number;
  /** What matched: `HTTPRoute shop/orders #0`; empty where nothing did. */
  readonly route: string;
  readonly cluster: string;
  /** The last endpoint tried, by id; empty where none was. */
  readonly endpoint: string;
  readonly attempts: number;
  /** The caller's verified SPIFFE name; empty on plaintext and for the application itself. */
  readonly source: string;
  readonly downstreamAddress: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly startedWallMs: number;
  readonly durationMs: number;
  /** From the start to the response's head; 0 where none came. */
  readonly firstByteMs: number;
  /** What a failure was, in words; empty where nothing failed. */
  readonly detail: string;
}
