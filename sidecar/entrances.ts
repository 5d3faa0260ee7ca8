/**
 * The ways in: the application's own (by host, by localhost port), and its callers' (links, and a port of its own
 * where callers without a link are admitted). Each accepted socket is looked at and given to a codec or a tunnel.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { MeshError } from '../kit/errors.ts';
import type { AppPort, Bootstrap, ListenAddress, LocalPort, Transparent } from '../mesh/bootstrap.ts';
import { isOpaque } from '../mesh/model.ts';
import type { ReachServices } from './cluster/reach.ts';
import type { Codec, HttpVersion } from './codec/codec.ts';
import {
  everyAddress,
  linkDoor,
  localDoor,
  localHosts,
  outboundDoor,
  plainDoor,
  socketName,
  takenInboundDoor,
  takenOutboundDoor,
} from './doors.ts';
import type { Peer, PeerTls } from './net/conn.ts';
import { type Detected, detectSocket } from './net/detect.ts';
import type { DialTarget } from './net/dial.ts';
import { isFamilyMissing, type Listener, listen, listenLocal } from './net/listener.ts';
import { isLocalAddress, isWildcard } from './net/local-address.ts';
import { peerOf, SocketConn } from './net/socket-conn.ts';
import { createTlsAcceptor, type TlsAcceptor } from './net/tls-accept.ts';
import type { TlsCredentials } from './net/tls-credentials.ts';
import { linkProtocol, opaqueProtocol, portAskedBy } from './net/tls-names.ts';
import { SeriesSet } from './observe/series.ts';
import { InboundPlanner } from './proxy/inbound.ts';
import { OutboundPlanner } from './proxy/outbound.ts';
import { type Planner, type ProxyState, ServeContext } from './proxy/serve.ts';
import { tunnelInbound, tunnelShared } from './proxy/tcp.ts';
import type { Resolver } from './runtime/resolver.ts';
import type { Forwarding } from './runtime/runtime.ts';
import { detectTime, type ServeHttp, Sorter } from './sorter.ts';
import type { InheritedSockets, OpenSocket } from './succession.ts';
import { InboundDoor, OutboundDoor } from './transparent/doors.ts';
import { PassThrough } from './transparent/pass-through.ts';

export interface EntranceServices {
  readonly proxy: ProxyState;
  readonly reach: ReachServices;
  readonly resolver: Resolver | undefined;
  /** Listening sockets of the process before this one, by name. */
  readonly inherited: InheritedSockets;
}

interface NamedListener {
  readonly name: string;
  readonly listener: Listener;
}

export const callerLimits = {
  /** An idle HTTP/1.1 connection of the application or a plaintext caller. */
  idleMs: 60_000,
  linkIdleMs: 3_600_000,
};
const http1Protocol = 'http/1.1';

export class Entrances {
  readonly #services: EntranceServices;
  readonly #listeners: NamedListener[] = [];
  readonly #acceptors: TlsAcceptor[] = [];
  readonly #connections = new Set<ServeContext>();
  readonly #sorter: Sorter;
  readonly #unroutedOutbound: SeriesSet;
  readonly #unroutedInbound: SeriesSet;
  readonly #passThrough: PassThrough;
  /** Set once it drains. */
  #patienceMs: number | undefined;

  constructor(services: EntranceServices) {
    this.#services = services;
    this.#sorter = new Sorter(services);
    const { metrics } = services.proxy;
    this.#passThrough = new PassThrough(services.proxy, services.reach);
    const unknown = { destination: 'unknown', port: 0, source: 'unknown', route: '' };
    this.#unroutedOutbound = new SeriesSet(metrics, { direction: 'outbound', ...unknown });
    this.#unroutedInbound = new SeriesSet(metrics, { direction: 'inbound', ...unknown });
  }

  /** Connections being served. */
  get connections(): number {
    return this.#connections.size + this.#passThrough.active;
  }

  /** `HOST:PORT` of every open listener. */
  get addresses(): string[] {
    return this.#listeners.map(({ listener: { host, port } }) =>
      host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    );
  }

  /** The open listening sockets, for a successor; those whose descriptor is not known cannot be handed on. */
  get sockets(): readonly OpenSocket[] {
    return this.#listeners.flatMap(({ name, listener: { fd } }) => (fd === undefined ? [] : [{ name, fd }]));
  }

  /** Opens everything that the bootstrap names; throws a MeshError for the first that cannot be. */
  async open(bootstrap: Bootstrap, credentials: TlsCredentials | undefined): Promise<void> {
    const planner = this.#outboundPlanner(undefined);
    const serveHttp = this.#httpServer(planner);
    await this.#listenLocal(outboundDoor, bootstrap.outbound.port, (socket) =>
      this.#sorter.sortByName(socket, serveHttp),
    );
    for (const local of bootstrap.localPorts) await this.#openLocalPort(local);
    if (bootstrap.link !== undefined && credentials !== undefined)
      await this.#openLink(bootstrap.link, credentials);
    for (const app of bootstrap.apps) {
      if (app.plain === undefined) continue;
      const door = this.#plainDoor(app.port, credentials);
      for (const host of app.plain.hosts) {
        await this.#listen(plainDoor(app.port), host, app.plain.port, door);
      }
    }
    const { transparent } = bootstrap;
    if (transparent === undefined) return;
    await this.#openOutboundDoor(transparent);
    await this.#openInboundDoor(transparent, bootstrap.apps, credentials);
  }

  /** New handshakes show the new certificate. */
  renew(credentials: TlsCredentials): void {
    for (const acceptor of this.#acceptors) acceptor.renew(credentials);
  }

  /** Stops accepting; connections end as their requests do, also those that are still being looked at. */
  drain(patienceMs: number): void {
    this.#patienceMs = patienceMs;
    for (const { listener } of this.#listeners) listener.close();
    for (const context of this.#connections) context.connection?.drain(patienceMs);
  }

  /** Memory is short: connections without a request close, the others after their answers; links stay. */
  shrink(): void {
    for (const context of this.#connections) if (!context.isLink) context.connection?.drain();
  }

  /** Nobody stays longer than the certificate that let him in. */
  endExpired(): void {
    const { clock, inboundTunnels } = this.#services.proxy;
    const nowMs = clock.wallMs();
    for (const context of [...this.#connections]) {
      const error = whyExpired(context.peer, nowMs);
      if (error !== undefined) context.connection?.destroy(error);
    }
    for (const { tunnel, peer } of [...inboundTunnels]) {
      const error = whyExpired(peer, nowMs);
      if (error !== undefined) tunnel.abort(error);
    }
  }

  /** Ends everything now. */
  close(error: MeshError): void {
    for (const { listener } of this.#listeners) listener.close();
    for (const acceptor of this.#acceptors) acceptor.close();
    // By a reset: with the process they would end as if they were whole.
    for (const tunnel of [...this.#services.proxy.tunnels]) tunnel.abort(error);
    for (const context of [...this.#connections]) context.connection?.destroy(error);
  }

  async #openLocalPort(local: LocalPort): Promise<void> {
    const call = { service: local.service, port: local.port };
    const serveHttp = this.#httpServer(this.#outboundPlanner(call));
    const onSocket = (socket: Socket) => this.#sorter.sort(socket, call, serveHttp);
    await this.#listenLocal(localDoor(local), local.localPort, onSocket);
  }

  async #openLink(address: ListenAddress, credentials: TlsCredentials): Promise<void> {
    const planner = new InboundPlanner({
      port: undefined,
      unrouted: this.#unroutedInbound,
      tunnel: (conn, port) => tunnelShared(this.#services, conn, port),
    });
    const acceptor = this.#createAcceptor(
      credentials,
      'strict',
      [linkProtocol, opaqueProtocol],
      (socket, tls) => {
        if (tls.protocol === linkProtocol) this.#serve(this.#tlsConn(socket, tls), 'http2', planner, 'link');
        else this.#serveOpaque(socket, tls);
      },
    );
    for (const host of address.hosts) {
      await this.#listen(linkDoor, host, address.port, (socket) => acceptor.accept(socket));
    }
  }

  /** Callers without a link: TLS with or without a certificate, or plaintext; the port's mode decides. */
  #plainDoor(port: number, credentials: TlsCredentials | undefined): (socket: Socket) => void {
    const { proxy } = this.#services;
    const planner = new InboundPlanner({ port, unrouted: this.#unroutedInbound });
    const acceptor =
      credentials === undefined
        ? undefined
        : this.#createAcceptor(credentials, 'permissive', [], (socket, tls) => {
            const conn = this.#tlsConn(socket, tls);
            if (this.#isOpaque(port)) tunnelInbound(this.#services, conn, port);
            else this.#serve(conn, tls.protocol === linkProtocol ? 'http2' : 'http1', planner, 'plain');
          });
    return (socket) => {
      // A server that speaks first would wait for ever for a client that does the same.
      if (this.#isOpaque(port)) {
        tunnelInbound(this.#services, this.#plainConn(socket), port);
        return;
      }
      const inbound = proxy.runtime.inbound.get(port)?.port;
      const { timers } = this.#services.reach.net;
      const options =
        inbound?.protocol === 'detect'
          ? { timers, timeoutMs: detectTime(inbound.timeouts.detectMs) }
          : { timers, onlyHttp: true };
      detectSocket(socket, options, (detected, raw) => {
        if (detected === 'tls' && acceptor !== undefined) acceptor.accept(raw);
        else if (inbound?.protocol === 'detect' && (detected === 'tls' || detected === 'unknown'))
          tunnelInbound(this.#services, this.#plainConn(raw), port);
        else if (detected === 'tls') raw.destroy();
        else this.#serveDetected(raw, detected, planner);
      });
    };
  }

  async #openOutboundDoor({ outboundPort, outboundPolicy }: Transparent): Promise<void> {
    const door = new OutboundDoor(this.#doorServices(), {
      policy: outboundPolicy,
      createPlanner: (call, otherwise) => this.#outboundPlanner(call, otherwise),
      serve: (socket, protocol, planner) => this.#serve(this.#plainConn(socket), protocol, planner, 'plain'),
    });
    await this.#listenLocal(takenOutboundDoor, outboundPort, (socket) => door.accept(socket));
  }

  /** Rules in the workload's namespace lead callers here in place of the application's ports. */
  async #openInboundDoor(
    { inboundPort }: Transparent,
    apps: readonly AppPort[],
    credentials: TlsCredentials | undefined,
  ): Promise<void> {
    const doors = new Map(apps.map(({ port, appPort }) => [appPort, this.#plainDoor(port, credentials)]));
    const door = new InboundDoor(this.#doorServices(), { doorOf: (appPort) => doors.get(appPort) });
    for (const host of everyAddress) {
      try {
        await this.#listen(takenInboundDoor, host, inboundPort, (socket) => door.accept(socket));
      } catch (error) {
        if (!isFamilyMissing(error)) throw error;
      }
    }
  }

  #doorServices() {
    return {
      ...this.#services,
      sorter: this.#sorter,
      passThrough: this.#passThrough,
      isOwn: (at: DialTarget) => this.#isOwn(at),
      plainConn: (socket: Socket) => this.#plainConn(socket),
    };
  }

  #isOwn({ address, port }: DialTarget): boolean {
    return this.#listeners.some(
      ({ listener }) =>
        listener.port === port &&
        (isWildcard(listener.host) ? isLocalAddress(address) : listener.host === address),
    );
  }

  async #listen(name: string, host: string, port: number, onSocket: (socket: Socket) => void): Promise<void> {
    const full = socketName(name, host);
    const fd = this.#services.inherited.take(full);
    const { descriptors } = this.#services.reach.net;
    const options = { host, port, ...(descriptors && { descriptors }), ...(fd === undefined ? {} : { fd }) };
    const listener = await listen(options, onSocket);
    this.#listeners.push({ name: full, listener });
  }

  /** On both loopback addresses, as far as the machine or the predecessor has them. */
  async #listenLocal(name: string, port: number, onSocket: (socket: Socket) => void): Promise<void> {
    const { inherited, reach } = this.#services;
    const { descriptors } = reach.net;
    const hosts = localHosts.filter((host) => inherited.has(socketName(name, host)));
    for (const host of hosts) await this.#listen(name, host, port, onSocket);
    if (hosts.length > 0) return;
    for (const listener of await listenLocal({ port, ...(descriptors && { descriptors }) }, onSocket)) {
      this.#listeners.push({ name: socketName(name, listener.host), listener });
    }
  }

  #createAcceptor(
    credentials: TlsCredentials,
    mode: 'strict' | 'permissive',
    protocols: readonly string[],
    onSecure: (socket: TLSSocket, peer: PeerTls) => void,
  ): TlsAcceptor {
    const { proxy } = this.#services;
    const acceptor = createTlsAcceptor({
      credentials,
      mode,
      protocols: mode === 'permissive' ? [linkProtocol, http1Protocol, ...protocols] : protocols,
      clock: proxy.clock,
      onSecure,
      onRefused: (error, address) => {
        proxy.metrics.refused++;
        proxy.log.warn('caller refused', { from: address, reason: error.message, code: error.code });
      },
    });
    this.#acceptors.push(acceptor);
    return acceptor;
  }

  #isOpaque(port: number): boolean {
    const inbound = this.#services.proxy.runtime.inbound.get(port);
    return inbound !== undefined && isOpaque(inbound.port.protocol);
  }

  #serveOpaque(socket: TLSSocket, tls: PeerTls): void {
    const conn = this.#tlsConn(socket, tls);
    tunnelInbound(this.#services, conn, portAskedBy(conn.peer));
  }

  #httpServer(planner: Planner): ServeHttp {
    return (socket, detected) => this.#serveDetected(socket, detected, planner);
  }

  /** What is neither HTTP version is given to HTTP/1.1, which answers 400. */
  #serveDetected(socket: Socket, detected: Detected, planner: Planner): void {
    this.#serve(this.#plainConn(socket), detected === 'http2' ? 'http2' : 'http1', planner, 'plain');
  }

  #serve(conn: SocketConn, protocol: HttpVersion, planner: Planner, kind: 'link' | 'plain'): void {
    const { proxy, reach } = this.#services;
    const codec = reach.codecs.get(protocol) as Codec;
    const isLink = kind === 'link';
    const connections = this.#connections;
    const context = new ServeContext({ proxy, planner, protocol, peer: conn.peer, isLink, connections });
    const { net, memo } = reach;
    const options = {
      link: isLink,
      idleMs: isLink ? callerLimits.linkIdleMs : callerLimits.idleMs,
      timers: net.timers,
      memo,
    };
    context.connection = codec.serve(conn, context, options);
    if (this.#patienceMs !== undefined) context.connection.drain(this.#patienceMs);
  }

  #outboundPlanner(
    call: { readonly service: LocalPort['service']; readonly port: number } | undefined,
    otherwise?: () => Forwarding,
  ) {
    const { resolver } = this.#services;
    return new OutboundPlanner({ call, resolver, unrouted: this.#unroutedOutbound, otherwise });
  }

  #plainConn(socket: Socket): SocketConn {
    return new SocketConn(socket, this.#services.reach.net, { origin: 'downstream' });
  }

  #tlsConn(socket: TLSSocket, tls: PeerTls): SocketConn {
    const peer = { ...peerOf(socket), tls };
    return new SocketConn(socket, this.#services.reach.net, { origin: 'downstream', peer });
  }
}

function whyExpired({ tls }: Peer, nowMs: number): MeshError | undefined {
  if (tls?.notAfterMs === undefined || tls.notAfterMs > nowMs) return undefined;
  const message = `the certificate of ${tls.identity ?? 'the peer'} has ended`;
  return new MeshError('identity_refused', message, { origin: 'downstream' });
}
