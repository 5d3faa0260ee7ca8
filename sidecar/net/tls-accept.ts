/**
 * The server's side of TLS for one listener: `accept(raw)` waits for the first byte, queues for one of a bounded
 * number of handshakes, checks who is there, and hands over the socket or says why not.
 *
 *   accept → silent ──first byte──▶ ready ──slot free──▶ handshake ──▶ onSecure
 *              └── timeout, flood ────┴── timeout, flood ──┴── refused ──▶ onRefused
 *
 * A connection that sends nothing holds no handshake slot, so silent floods do not keep callers out.
 */
import type { Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { MtlsMode } from '../../mesh/model.ts';
import type { PeerTls } from './conn.ts';
import type { TlsCredentials } from './tls-credentials.ts';
import { linkProtocol } from './tls-names.ts';
import { handshakeError, peerTlsOf } from './tls-peer.ts';

export interface HandshakeLimits {
  /** From the connection to its first byte, and again from there to the end of the handshake. */
  readonly timeoutMs: number;
  readonly maxHandshakes: number;
  /** Connections that have not begun their handshake. */
  readonly maxWaiting: number;
}

export const handshakeLimits = {
  timeoutMs: 5_000,
  maxHandshakes: 64,
  maxWaiting: 1_024,
} satisfies HandshakeLimits;

export interface TlsAcceptorOptions {
  readonly credentials: TlsCredentials;
  readonly mode: MtlsMode;
  /**
   * ALPN names, the preferred one first; a peer that offers others only is refused, and where strict one that offers
   * none at all. Empty: not asked.
   */
  readonly protocols: readonly string[];
  readonly clock: Clock;
  readonly limits?: Partial<HandshakeLimits>;
  /** The socket is half-open and has an error listener already; whoever takes it adds its own. */
  readonly onSecure: (socket: TLSSocket, peer: PeerTls) => void;
  /** For the log: why, and from where. */
  readonly onRefused: (error: MeshError, address: string) => void;
}

export interface TlsAcceptor {
  /** Takes a plain socket, which may hold bytes that were read already (`unshift`). */
  accept(raw: Socket): void;
  /** Handshakes from now on use these; connections that stand are not touched. */
  renew(credentials: TlsCredentials): void;
  setMode(mode: MtlsMode): void;
  /** Connections that are not handed over yet. */
  readonly pending: number;
  /** Ends what is not handed over yet; a handshake under way ends by its time limit at the latest. */
  close(): void;
}

/** Refused peers that are being told why; beyond them connections end without a word. */
const maxFarewells = 64;
const farewellMs = 1_000;

interface Waiting {
  readonly timer: Timer;
  /** Takes our listeners off the socket. */
  readonly detach: () => void;
}

export function createTlsAcceptor(options: TlsAcceptorOptions): TlsAcceptor {
  const { clock, protocols, onSecure, onRefused } = options;
  const limits = { ...handshakeLimits, ...options.limits };
  let { mode } = options;
  let { trustDomain } = options.credentials.svid.identity;
  // Both in order of arrival.
  const silent = new Map<Socket, Waiting>();
  const ready = new Map<Socket, Waiting>();
  const farewells = new Set<TLSSocket>();
  let handshakes = 0;
  let isClosed = false;

  // The certificate is judged in `judge`, not by Node: it could only hang up, and the peer would not learn why.
  const server = createServer({
    ...options.credentials.settings,
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: limits.timeoutMs,
    ...(protocols.length > 0 ? { ALPNProtocols: [...protocols] } : {}),
  });
  server.on('secureConnection', (socket) => {
    endHandshake();
    if (isClosed) socket.destroy();
    else judge(socket);
  });
  // Exactly one of these two events follows each connection that the server was given.
  server.on('tlsClientError', (cause, socket) => {
    endHandshake();
    refuse(handshakeError(cause, 'downstream'), addressOf(socket));
    socket.destroy();
  });
  server.on('error', () => {});

  function judge(socket: TLSSocket): void {
    socket.on('error', ignore);
    const address = socket.remoteAddress;
    try {
      const rules = { mode, protocols, trustDomain, names: 'any_workload' } as const;
      const peer = peerTlsOf(socket, { ...rules, nowMs: clock.wallMs(), origin: 'downstream' });
      socket.allowHalfOpen = true;
      onSecure(socket, peer);
    } catch (thrown) {
      const error = thrown instanceof MeshError ? thrown : internal(thrown);
      refuse(error, address);
      sayFarewell(socket, error);
    }
  }

  function sayFarewell(socket: TLSSocket, error: MeshError): void {
    if (farewells.size >= maxFarewells || socket.destroyed) {
      socket.destroy();
      return;
    }
    farewells.add(socket);
    const timer = clock.after(farewellMs, () => socket.destroy());
    socket.once('close', () => {
      timer.cancel();
      farewells.delete(socket);
    });
    socket.once('end', () => socket.destroy());
    // What the peer sent meanwhile is dropped unread; closing over it would reset the connection and lose our words.
    socket.resume();
    if (socket.alpnProtocol === linkProtocol) socket.end(refusalFrames(error.message));
    else socket.end();
  }

  function refuse(error: MeshError, address: string | undefined): void {
    onRefused(error, address ?? 'unknown');
  }

  function endHandshake(): void {
    handshakes--;
    startReady();
  }

  function startReady(): void {
    for (const [raw, waiting] of ready) {
      if (handshakes >= limits.maxHandshakes) return;
      ready.delete(raw);
      waiting.timer.cancel();
      waiting.detach();
      if (!raw.destroyed) startHandshake(raw);
    }
  }

  function startHandshake(raw: Socket): void {
    handshakes++;
    addressOf(raw); // Node keeps it once asked, so that a refusal after the close can still name it
    raw.allowHalfOpen = false; // who ends before the handshake did is gone
    server.emit('connection', raw);
  }

  function drop(raw: Socket, why: MeshError | undefined): void {
    const waiting = silent.get(raw) ?? ready.get(raw);
    silent.delete(raw);
    ready.delete(raw);
    waiting?.timer.cancel();
    waiting?.detach();
    const address = raw.remoteAddress;
    raw.on('error', ignore);
    raw.destroy();
    if (why !== undefined) refuse(why, address);
  }

  function makeRoom(): boolean {
    if (silent.size + ready.size < limits.maxWaiting) return true;
    const [oldest] = silent.keys();
    if (oldest !== undefined) drop(oldest, overloaded());
    return oldest !== undefined;
  }

  function wait(raw: Socket): void {
    const onReadable = () => {
      const waiting = silent.get(raw);
      if (waiting === undefined) return;
      if (raw.readableLength === 0) return drop(raw, undefined);
      silent.delete(raw);
      ready.set(raw, waiting);
      startReady();
    };
    const onClose = () => drop(raw, undefined);
    const detach = () => {
      raw.off('readable', onReadable);
      raw.off('close', onClose);
    };
    const timer = clock.after(limits.timeoutMs, () => drop(raw, tooSlow(limits.timeoutMs)));
    silent.set(raw, { timer, detach });
    raw.on('error', ignore);
    raw.on('close', onClose);
    raw.on('readable', onReadable);
  }

  return {
    accept(raw) {
      if (raw.destroyed) return;
      if (!isClosed && makeRoom()) wait(raw);
      else drop(raw, overloaded());
    },
    renew(credentials) {
      server.setSecureContext(credentials.settings);
      trustDomain = credentials.svid.identity.trustDomain;
    },
    setMode(next) {
      mode = next;
    },
    get pending() {
      return silent.size + ready.size + handshakes;
    },
    close() {
      for (const raw of [...silent.keys(), ...ready.keys()]) drop(raw, undefined);
      isClosed = true;
      for (const socket of farewells) socket.destroy();
    },
  };
}

/** Of a connection that is closed already the plain socket below may still know the address; for the log only. */
function addressOf(socket: Socket): string | undefined {
  return socket.remoteAddress ?? (socket as { _parent?: Socket | null })._parent?.remoteAddress;
}

function ignore(): void {}

const inadequateSecurity = 0x0c;
const maxDebugBytes = 256;

/**
 * An empty SETTINGS and a GOAWAY that carries the reason, RFC 9113 §6.5 and §6.8: last stream 0, so that the peer
 * knows that nothing of what it sent was looked at.
 */
function refusalFrames(reason: string): Buffer {
  const debug = Buffer.from(reason, 'utf8').subarray(0, maxDebugBytes);
  const head = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8 + debug.length, 7, 0, 0, 0, 0, 0]);
  head.writeUIntBE(8 + debug.length, 9, 3);
  return Buffer.concat([head, Buffer.from([0, 0, 0, 0, 0, 0, 0, inadequateSecurity]), debug]);
}

function overloaded(): MeshError {
  return new MeshError('overloaded', 'too many connections wait for their TLS handshake', {
    origin: 'local',
  });
}

function tooSlow(timeoutMs: number): MeshError {
  return new MeshError('tls_failed', `TLS handshake not begun within ${timeoutMs} ms`, {
    origin: 'downstream',
  });
}

function internal(cause: unknown): MeshError {
  return new MeshError('internal', `connection could not be taken over: ${messageOf(cause)}`, {
    origin: 'local',
    cause,
  });
}
