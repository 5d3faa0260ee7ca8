/**
 * The bounds of HTTP/1.1, both sides. What is over them is refused with the status named here. Those that
 * `mesh/limits.ts` names may be set, before the first connection.
 */
export const limits = {
  /** Request line with its CRLF: 414. RFC 9112 §3 wants at least 8000. */
  maxStartLineBytes: 16 * 1024,
  /** Head from the start line to the empty line: 431, upstream 502. */
  maxHeadBytes: 32 * 1024,
  /** Field lines of a head: 431. */
  maxFields: 100,
  /** Field name: 431. */
  maxNameBytes: 256,
  /** Empty lines before a request line (RFC 9112 §2.2 asks for one at least): 400. */
  maxLeadingEmptyLines: 2,
  /** Members of Connection: 400. */
  maxConnectionOptions: 10,
  /** Content-Length: 400. Below 2^53. */
  maxLengthDigits: 15,
  /** Chunk size: 400. 2^52 - 1. */
  maxChunkSizeDigits: 13,
  /** Chunk size line with its extensions: 400. */
  maxChunkLineBytes: 4 * 1024,
  /** Chunk extensions of one message: 400. */
  maxExtensionBytes: 16 * 1024,
  /** Trailer section: 431. */
  maxTrailerBytes: 8 * 1024,
  maxTrailerFields: 32,
  /** 1xx before one final response: 502. */
  maxInformational: 32,
  /** Bytes of later requests kept while one is in flight; then the socket is no longer read. */
  maxPipelinedBytes: 64 * 1024,
  /** A request head must be complete this long after its first byte, however steadily it drips: 408. */
  headMs: 10_000,
  /** Windows of a request body: each must bring the least rate, unless we did not read: 408. */
  bodyMs: 10_000,
  minBodyBytesPerSecond: 1024,
  /** A response of which the peer takes nothing for so long is given up. */
  writeStallMs: 30_000,
  /** How long a client that waits for 100 is left waiting; then we say it ourselves (RFC 9110 §10.1.1). */
  continueMs: 1000,
  /** How long an idle connection is kept when we drain, for a request that may be on its way. */
  drainIdleMs: 1000,
};
