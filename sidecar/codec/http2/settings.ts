/** SETTINGS: what we announce, and what the peer may. RFC 9113 §6.5, RFC 8441 §3. */
import { ConnectionFault, faultCode } from './fault.ts';
import { readU32 } from './frame.ts';
import { limits } from './limits.ts';

export const setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
  /** Ours, on links, out of what RFC 9113 §11.3 leaves to experiments. */
  linkVersion: 0xf4d0,
  linkFeatures: 0xf4d1,
} as const;

/** The version of the link's rules that we speak. A peer that names none speaks it too. */
export const linkVersion = 1;
/** What a sidecar understands over a link beyond requests: one bit each. */
export const linkFeature = { tunnels: 1, httpVersion: 2, connectTimeouts: 4 } as const;
const ourLinkFeatures = linkFeature.tunnels | linkFeature.httpVersion | linkFeature.connectTimeouts;

/** What the peer announced; the RFC's defaults until it did. */
export class PeerSettings {
  headerTableSize = 4096;
  /** The smallest that the last frame named on its way there: to name 0 first empties the table (RFC 7541 §4.2). */
  leastTableSize = 4096;
  maxConcurrentStreams = Number.POSITIVE_INFINITY;
  initialWindowSize = 65_535;
  maxFrameSize = 16_384;
  allowsConnectProtocol = false;
  linkVersion = linkVersion;
  linkFeatures = 0;

  /** RFC 9113 §6.5.2: a server may only say 0. */
  readonly #maxPush: number;

  constructor(ourSide: 'server' | 'client') {
    this.#maxPush = ourSide === 'server' ? 1 : 0;
  }

  /** Whether CONNECT_ERROR between us says that the application took all the time there is to connect. */
  get knowsConnectTimeouts(): boolean {
    return (this.linkFeatures & linkFeature.connectTimeouts) !== 0;
  }

  /** Takes one SETTINGS frame's entries in order, the last of a name counting. Throws on a value that is not allowed. */
  apply(source: Buffer, start: number, end: number): void {
    if ((end - start) / 6 > limits.settingsEntries) {
      throw new ConnectionFault(faultCode.enhanceYourCalm, `${(end - start) / 6} settings in a frame`);
    }
    this.leastTableSize = this.headerTableSize;
    for (let at = start; at < end; at += 6) {
      this.#set(((source[at] as number) << 8) | (source[at + 1] as number), readU32(source, at + 2));
    }
  }

  #set(id: number, value: number): void {
    switch (id) {
      case setting.headerTableSize:
        this.headerTableSize = value;
        this.leastTableSize = Math.min(this.leastTableSize, value);
        break;
      case setting.enablePush:
        if (value > this.#maxPush) throw invalid('ENABLE_PUSH', value);
        break;
      case setting.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        break;
      case setting.initialWindowSize:
        if (value > 0x7fff_ffff) {
          throw new ConnectionFault(faultCode.flowControlError, `INITIAL_WINDOW_SIZE ${value}`);
        }
        this.initialWindowSize = value;
        break;
      case setting.maxFrameSize:
        if (value < 16_384 || value > 16_777_215) throw invalid('MAX_FRAME_SIZE', value);
        this.maxFrameSize = value;
        break;
      case setting.enableConnectProtocol:
        if (value > 1) throw invalid('ENABLE_CONNECT_PROTOCOL', value);
        // RFC 8441 §3: it is not taken back.
        if (value === 0 && this.allowsConnectProtocol) throw invalid('ENABLE_CONNECT_PROTOCOL', value);
        this.allowsConnectProtocol = value === 1;
        break;
      case setting.linkVersion:
        this.linkVersion = value;
        break;
      case setting.linkFeatures:
        this.linkFeatures = value;
        break;
      default:
      // RFC 9113 §6.5.2: unknown ones are ignored.
    }
  }
}

/** What we announce as server or client, over a link or to anybody. */
export function ourSettings(
  side: 'server' | 'client',
  isLink: boolean,
): readonly (readonly [id: number, value: number])[] {
  const shared: (readonly [id: number, value: number])[] = [
    [setting.headerTableSize, isLink ? limits.linkTableBytes : limits.plainTableBytes],
    [setting.maxHeaderListSize, limits.fieldBytesPerBlock + (isLink ? limits.linkExtraBytes : 0)],
  ];
  if (isLink) shared.push([setting.linkVersion, linkVersion], [setting.linkFeatures, ourLinkFeatures]);
  const firstWindow = firstWindowOf(side, isLink);
  if (firstWindow !== limits.streamWindow) shared.push([setting.initialWindowSize, firstWindow]);
  if (side === 'client') return [...shared, [setting.enablePush, 0]];
  return [
    ...shared,
    [setting.maxConcurrentStreams, isLink ? limits.linkStreams : limits.plainStreams],
    [setting.enableConnectProtocol, 1],
  ];
}

/** The receive window with which streams begin. */
export function firstWindowOf(side: 'server' | 'client', isLink: boolean): number {
  return side === 'client' && !isLink ? limits.appStreamWindow : limits.streamWindow;
}

/** Throws where the other sidecar speaks a version of the link's rules that we do not. */
export function requireLinkVersion(peer: PeerSettings): void {
  if (peer.linkVersion === linkVersion) return;
  throw new ConnectionFault(
    faultCode.protocolError,
    `peer speaks link version ${peer.linkVersion}, this sidecar speaks ${linkVersion}: upgrade the older one`,
    'version_not_supported',
  );
}

function invalid(name: string, value: number): ConnectionFault {
  return new ConnectionFault(faultCode.protocolError, `${name} ${value}`);
}
