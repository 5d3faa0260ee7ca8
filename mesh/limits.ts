/**
 * The bounds of a sidecar that an operator may set, by name, with the least and the most of each. The default stands
 * beside what it bounds; `docs/operations/limits.md` shows them all. Set for a whole sidecar: by `limits` of its
 * bootstrap, which an agent fills from `Workload.spec.sidecarLimits`.
 */
import { nearest } from '../kit/nearest.ts';

type Range = readonly [least: number, most: number];

const kib = 1024;
const mib = 1024 * kib;
const minute = 60_000;
const hour = 60 * minute;
const count: Range = [1, 1_000_000];
const window: Range = [1 * kib, 256 * mib];
const bodyWindow: Range = [64 * kib, 256 * mib];

export const limitRanges = {
  'http1.maxStartLineBytes': [8_000, 256 * kib],
  'http1.maxHeadBytes': [8 * kib, 1 * mib],
  'http1.maxFields': [10, 1_000],
  'http1.maxNameBytes': [32, 8 * kib],
  'http1.maxLeadingEmptyLines': [1, 100],
  'http1.maxConnectionOptions': [1, 100],
  'http1.maxLengthDigits': [1, 15],
  'http1.maxChunkSizeDigits': [1, 13],
  'http1.maxChunkLineBytes': [64, 64 * kib],
  'http1.maxExtensionBytes': [0, 1 * mib],
  'http1.maxTrailerBytes': [0, 1 * mib],
  'http1.maxTrailerFields': [0, 1_000],
  'http1.maxInformational': [0, 1_000],
  'http1.maxPipelinedBytes': [4 * kib, 1 * mib],
  'http1.headMs': [100, 10 * minute],
  'http1.bodyMs': [100, 10 * minute],
  'http1.minBodyBytesPerSecond': [0, 1 * mib],
  'http1.writeStallMs': [1_000, hour],
  'http1.continueMs': [10, minute],
  'http1.drainIdleMs': [100, minute],

  'http2.linkStreams': [16, 65_536],
  'http2.plainStreams': [1, 65_536],
  'http2.linkStreamsPerRead': [1, 65_536],
  'http2.plainStreamsPerRead': [1, 65_536],
  'http2.streamsPerConnection': [1_000, 2 ** 30],
  'http2.fieldsPerBlock': [10, 1_000],
  'http2.fieldBytesPerBlock': [8 * kib, 1 * mib],
  'http2.continuationsPerBlock': [1, 64],
  'http2.blockBytes': [8 * kib, 1 * mib],
  'http2.linkStreamWindowMax': [65_535, 64 * mib],
  'http2.plainStreamWindowMax': [65_535, 64 * mib],
  'http2.windowGrowthPerProcess': [0, 1_024 * mib],
  'http2.plainConnectionWindow': bodyWindow,
  'http2.linkConnectionWindow': bodyWindow,
  'http2.plainHeldBytes': bodyWindow,
  'http2.appHeldBytes': bodyWindow,
  'http2.linkHeldBytes': bodyWindow,
  'http2.plainConnectionBytes': bodyWindow,
  'http2.linkConnectionBytes': bodyWindow,
  'http2.connectionQueueBytes': bodyWindow,
  'http2.streamQueueBytes': [16 * kib, 16 * mib],
  'http2.unsentBytes': [16 * kib, 1 * mib],
  'http2.controlBytes': [4 * kib, 1 * mib],
  'http2.plainTableBytes': [4 * kib, 64 * kib],
  'http2.linkTableBytes': [4 * kib, 64 * kib],
  'http2.resets.burst': count,
  'http2.resets.perSecond': count,
  'http2.linkResets.burst': count,
  'http2.linkResets.perSecond': count,
  'http2.pings.burst': count,
  'http2.pings.perSecond': count,
  'http2.oddFrames.burst': count,
  'http2.oddFrames.perSecond': count,
  'http2.linkOddFrames.burst': count,
  'http2.linkOddFrames.perSecond': count,
  'http2.emptyFrames.burst': count,
  'http2.emptyFrames.perSecond': count,
  'http2.emptyFramesInRow': count,
  'http2.smallData.burst': window,
  'http2.smallData.perSecond': window,
  'http2.smallMessages.burst': window,
  'http2.smallMessages.perSecond': window,
  'http2.windowUpdates.base': count,
  'http2.windowUpdates.perStream': count,
  'http2.windowUpdates.perDataFrame': count,
  'http2.settingsEntries': [8, 1_000],
  'http2.informationalHeads': [1, 1_000],
  'http2.keepaliveMs': [1_000, hour],
  'http2.appKeepaliveMs': [1_000, hour],
  'http2.pingTimeoutMs': [1_000, minute],
  'http2.settingsTimeoutMs': [1_000, minute],
  'http2.headMs': [1_000, 10 * minute],
  'http2.noProgressMs': [1_000, hour],
  'http2.endedPeerMs': [100, minute],
  'http2.drainSecondGoawayMs': [100, minute],

  'handshakes.timeoutMs': [500, minute],
  'handshakes.maxHandshakes': [1, 4_096],
  'handshakes.maxWaiting': [1, 65_536],

  'connections.highMarkBytes': [16 * kib, 16 * mib],
  'connections.maxUnsentBytes': [64 * kib, 64 * mib],
  'connections.lingerBytes': [0, 16 * mib],
  'connections.lingerMs': [10, minute],
  'connections.lingerStuckMs': [1_000, hour],
  'connections.lingerEndedMs': [100, minute],

  'detection.detectMs': [100, minute],

  'callers.idleMs': [1_000, 24 * hour],
  'callers.linkIdleMs': [minute, 24 * hour],

  'pools.maxWaiting': [1, 65_536],
  'pools.appIdleMs': [100, hour],
  'pools.linkIdleMs': [minute, 24 * hour],

  'links.maxLinkedEndpoints': [1, 1_000],

  'requests.maxBodyKib': [0, 2 ** 32 - 1],

  'retries.maxReplayBytes': [0, 16 * mib],
} as const satisfies Readonly<Record<string, Range>>;

export type LimitName = keyof typeof limitRanges;
/** Whole numbers; what is left out keeps its default. */
export type LimitSettings = Readonly<Partial<Record<LimitName, number>>>;

/** What is wrong with a limit, or undefined. */
export function limitProblem(name: string, value: number): string | undefined {
  if (!isLimitName(name)) {
    const [meant] = nearest(name, Object.keys(limitRanges));
    return meant === undefined ? 'no such limit' : `no such limit, did you mean '${meant}'?`;
  }
  const [least, most] = limitRanges[name];
  if (Number.isInteger(value) && value >= least && value <= most) return undefined;
  return `expected a whole number from ${least} to ${most}, got ${value}`;
}

function isLimitName(name: string): name is LimitName {
  return Object.hasOwn(limitRanges, name);
}
