/**
 * Every bound of HTTP/2 in one place. A pair of rates is a token bucket: it holds `burst` and gains `perSecond`.
 * What a broken bound answers with stands beside it. Those that `mesh/limits.ts` names may be set, before the first
 * connection.
 */
export const limits = {
  /** Concurrent streams that we accept: from a sidecar over a link, and from anybody else. Over: REFUSED_STREAM. */
  linkStreams: 4096,
  plainStreams: 100,
  /** New streams of one read; what follows them waits until other connections had their turn. */
  linkStreamsPerRead: 512,
  plainStreamsPerRead: 32,
  /** Streams that one connection may ever open; then a graceful GOAWAY. */
  streamsPerConnection: 2 ** 30,

  /** What a frame's payload may hold; we never announce more. Over: FRAME_SIZE_ERROR. */
  frameBytes: 16_384,
  /** Fields in a block, every cookie crumb and pseudo-header counted. Over: the stream is reset. */
  fieldsPerBlock: 100,
  /** Decoded size of a block, name + value + 32 for each field (RFC 9113 §6.5.2). Over: the stream is reset. */
  fieldBytesPerBlock: 32_768,
  fieldOverheadBytes: 32,
  /** Decoding more than this many times `fieldBytesPerBlock` is an attack: GOAWAY ENHANCE_YOUR_CALM. */
  fieldBytesFatalFactor: 4,
  /** CONTINUATION frames after one HEADERS, and the bytes of a block as it is on the wire. Over: GOAWAY. */
  continuationsPerBlock: 8,
  blockBytes: 32_768,
  /** What a block on a link may have beyond these figures: a head that a sidecar took gets through with what it added. */
  linkExtraFields: 32,
  linkExtraBytes: 8192,
  /** An HPACK integer has at most this many bytes after its prefix (RFC 7541 §5.1). */
  integerBytes: 5,

  /** Dynamic table of our decoder, and the most that our encoder uses whatever the peer offers. */
  plainTableBytes: 4096,
  linkTableBytes: 16_384,
  /** Entries of the encoder's look-up maps; they are emptied when full. */
  encoderMemoEntries: 512,
  /** A line longer than this never enters the encoder's table or memo. */
  indexedLineBytes: 1024,

  /**
   * Receive window of a stream: first (from an application, which is near, it soon grows), at most, and what all
   * streams of the process may add together.
   */
  streamWindow: 65_535,
  appStreamWindow: 16_384,
  linkStreamWindowMax: 4 * 1024 * 1024,
  plainStreamWindowMax: 1024 * 1024,
  windowGrowthPerProcess: 16 * 1024 * 1024,
  /** The most of what is left of it that one step of one stream may take. */
  windowGrowthShare: 0.25,
  /** Receive window of a connection; its credit returns on receipt. */
  plainConnectionWindow: 1024 * 1024,
  linkConnectionWindow: 16 * 1024 * 1024,
  /**
   * Bodies of a connection that wait for slow readers, beyond which its credit returns only as they take some: a
   * caller's, an application's and a link. The latter two are shared, so there new requests take another connection.
   */
  plainHeldBytes: 1024 * 1024,
  appHeldBytes: 32 * 1024 * 1024,
  linkHeldBytes: 64 * 1024 * 1024,
  /** Heads in progress (decoded), held bodies and queued DATA of a connection. Over: REFUSED_STREAM for new ones. */
  plainConnectionBytes: 2 * 1024 * 1024,
  linkConnectionBytes: 64 * 1024 * 1024,

  /** Bytes that a stream queues before `sendData` says wait, and the mark below which it says go on. */
  streamQueueBytes: 65_536,
  streamQueueLowBytes: 16_384,
  /** Over this in one connection's queues, a stream has to wait at the low mark. */
  connectionQueueBytes: 1024 * 1024,
  /** Most of the bytes that a socket holds before heads and DATA wait. */
  unsentBytes: 131_072,
  /** DATA of one stream before the next one's turn; on links more, for what comes in one piece goes on in one. */
  turnBytes: 16_384,
  linkTurnBytes: 65_536,
  /** With so many streams open, heads on a link wait one turn of the loop for others to go with. */
  gatherFromStreams: 16,
  /** Smaller chunks are copied behind their frame header, larger ones are written as they are. */
  copiedChunkBytes: 8192,
  /** Control frames of one turn, besides two for each stream that there may be. Over: the connection is closed. */
  controlBytes: 65_536,

  /**
   * RST_STREAM within 0.1 to 0.2 s of the request, and ours that the peer provoked, besides one for each request that both
   * sides ended: calls whose deadlines pass are no flood. Over: GOAWAY ENHANCE_YOUR_CALM.
   */
  resets: { burst: 500, perSecond: 33 },
  /** Its figure on a link, which carries many callers' cancellations. */
  linkResets: { burst: 8192, perSecond: 2048 },
  /** SETTINGS and PING, besides one PING for each DATA frame we sent. Over: GOAWAY ENHANCE_YOUR_CALM. */
  pings: { burst: 100, perSecond: 10 },
  /**
   * PRIORITY, unknown frames, acknowledgements and frames of streams that are over, but for four of each that we ended
   * early. Over: GOAWAY ENHANCE_YOUR_CALM.
   */
  oddFrames: { burst: 1000, perSecond: 100 },
  linkOddFrames: { burst: 65_536, perSecond: 8192 },
  /** Frames that carry nothing and end nothing. Over: GOAWAY ENHANCE_YOUR_CALM. */
  emptyFrames: { burst: 100, perSecond: 1 },
  emptyFramesInRow: 10,
  /** What DATA frames below 64 bytes lack to 64, summed. Over: GOAWAY ENHANCE_YOUR_CALM. */
  smallData: { burst: 65_536, perSecond: 65_536 },
  /** Its figure where each message is a frame: on links, of applications, and for callers' gRPC and tunnels besides. */
  smallMessages: { burst: 16_777_216, perSecond: 67_108_864 },
  smallDataBytes: 64,
  /**
   * WINDOW_UPDATE frames allowed per second: a base, and so many per live stream and per DATA frame we sent and they
   * have not answered. Over: GOAWAY ENHANCE_YOUR_CALM.
   */
  windowUpdates: { base: 32, perStream: 2, perDataFrame: 20 },
  /** DATA frames of the past that may still be answered by WINDOW_UPDATE and PING. */
  unansweredFrames: 1024,
  /** Entries of one SETTINGS frame. Over: GOAWAY ENHANCE_YOUR_CALM. */
  settingsEntries: 32,
  /** 1xx heads before one final head. Over: the stream is reset. */
  informationalHeads: 100,

  /** A header block, and each of its frames, must be complete so long after its first byte. Over: GOAWAY. */
  headMs: 10_000,
  /** A silent peer is asked by PING after this, give or take the jitter, and has so long to answer. */
  keepaliveMs: 30_000,
  /**
   * The same of an application that serves HTTP/2, and only with requests open: gRPC servers end the connections of
   * whom asks more often than every 5 min.
   */
  appKeepaliveMs: 360_000,
  keepaliveJitter: 0.15,
  pingTimeoutMs: 10_000,
  settingsTimeoutMs: 10_000,
  /** Queued DATA or unsent bytes that do not move for this long. */
  noProgressMs: 30_000,
  /** The same where the peer has ended its side with its windows shut: it cannot open them any more. */
  endedPeerMs: 1000,
  /**
   * From the first GOAWAY of a drain to the second, at most (it normally takes one round trip). In a hand-over a peer
   * has as long as for any other PING.
   */
  drainSecondGoawayMs: 1000,
  tickMs: 1000,
};

/** A token bucket's figures. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}
