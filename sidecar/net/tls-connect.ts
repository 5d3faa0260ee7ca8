/**
 * The client's side of TLS to another sidecar. The certificate must chain to our trust bundle (Node checks that)
 * and carry one of the names expected at this endpoint (we check that, in place of the host name).
 *
 * In TLS 1.3 a client is done before the server has looked at its certificate. `onSecure` therefore says who the
 * server is, not that the server takes us: the connection counts as healthy from its first byte on (on a link the
 * server's SETTINGS). A server of ours that refuses sends GOAWAY with the reason and last stream 0.
 */
import type { Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import { verifyPeer } from '../../mesh/svid.ts';
import type { PeerTls } from './conn.ts';
import { handshakeLimits } from './tls-accept.ts';
import type { TlsCredentials } from './tls-credentials.ts';
import { handshakeError, peerTlsOf } from './tls-peer.ts';

export interface TlsConnectOptions {
  readonly credentials: TlsCredentials;
  /** SNI, `serverNameOf(service, port)`. */
  readonly serverName: string;
  /** The one ALPN name that both must speak. */
  readonly protocol: string;
  /** SPIFFE names, one of which the endpoint must prove. */
  readonly expected: string | ReadonlySet<string>;
  readonly clock: Clock;
  readonly timeoutMs?: number;
  /** Exactly one of these two is called, never both. The socket is half-open. */
  readonly onSecure: (socket: TLSSocket, peer: PeerTls) => void;
  readonly onFailed: (error: MeshError) => void;
}

/** Begins a handshake on a connected socket; destroying the result before its end calls `onFailed`. */
export function connectTls(raw: Socket, options: TlsConnectOptions): TLSSocket {
  const { credentials, clock, protocol } = options;
  const { trustDomain } = credentials.svid.identity;
  const timeoutMs = options.timeoutMs ?? handshakeLimits.timeoutMs;
  const rules = { trustDomain, names: options.expected, origin: 'upstream' } as const;
  let state: 'handshake' | 'done' = 'handshake';

  raw.allowHalfOpen = false; // who ends before the handshake did is gone
  const socket = connect({
    socket: raw,
    secureContext: credentials.context,
    servername: options.serverName,
    ALPNProtocols: [protocol],
    rejectUnauthorized: true,
    checkServerIdentity(_hostname, certificate) {
      try {
        verifyPeer(certificate.raw, { ...rules, nowMs: clock.wallMs() });
        return undefined;
      } catch (thrown) {
        return thrown as Error;
      }
    },
  });

  const settle = (act: () => void) => {
    if (state === 'done') return;
    state = 'done';
    timer.cancel();
    act();
  };
  const fail = (thrown: unknown) =>
    settle(() => {
      socket.destroy();
      options.onFailed(handshakeError(thrown, 'upstream'));
    });
  const timer = clock.after(timeoutMs, () => fail(tooSlow(timeoutMs)));

  raw.on('error', fail);
  socket.on('error', fail);
  socket.on('close', () => fail(closedEarly()));
  socket.on('secureConnect', () => {
    let peer: PeerTls;
    try {
      const now = { nowMs: clock.wallMs(), mode: 'strict', protocols: [protocol] } as const;
      peer = peerTlsOf(socket, { ...rules, ...now });
    } catch (thrown) {
      fail(thrown);
      return;
    }
    socket.allowHalfOpen = true;
    settle(() => options.onSecure(socket, peer));
  });
  return socket;
}

function closedEarly(): MeshError {
  return new MeshError('tls_failed', 'TLS handshake failed: the peer closed before it was done', {
    origin: 'upstream',
    retry: 'always',
  });
}

function tooSlow(timeoutMs: number): MeshError {
  return new MeshError('tls_failed', `TLS handshake not done within ${timeoutMs} ms`, {
    origin: 'upstream',
    retry: 'always',
  });
}
