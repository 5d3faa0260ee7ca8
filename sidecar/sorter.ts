/**
 * Says what a socket of the application is where its port alone does not: looks at its first bytes and gives it to
 * HTTP, or carries it as bytes to the service that its port or its server name stands for.
 */
import type { Socket } from 'node:net';
import { MeshError } from '../kit/errors.ts';
import { clusterName, type ServiceRef, serviceKey } from '../mesh/model.ts';
import type { Conn } from './net/conn.ts';
import { type Detected, detectSocket, type Greeting, peekClientHello } from './net/detect.ts';
import { SocketConn } from './net/socket-conn.ts';
import { refuse, type TunnelServices, tunnelOutbound } from './proxy/tcp.ts';
import type { Resolver } from './runtime/resolver.ts';
import type { PortRuntime, Runtime } from './runtime/runtime.ts';

export interface SorterInit extends TunnelServices {
  readonly resolver: Resolver | undefined;
}

/** Takes a socket that speaks HTTP of either version. */
export type ServeHttp = (socket: Socket, detected: Detected) => void;

/** A service port that a socket's own port stands for. */
export interface Destination {
  readonly service: ServiceRef;
  readonly port: number;
}

/** What `Timeouts.detectMs` is kept to. */
const minDetectMs = 10;
const maxDetectMs = 5_000;

export class Sorter {
  readonly #init: SorterInit;

  constructor(init: SorterInit) {
    this.#init = init;
  }

  /** A socket of the localhost port that stands for `call`; whatever is HTTP goes to `serveHttp`. */
  sort(socket: Socket, call: Destination, serveHttp: ServeHttp): void {
    const { runtime } = this.#init.proxy;
    const port = runtime.services.get(serviceKey(call.service))?.ports.get(call.port);
    switch (port?.protocol) {
      case 'tcp':
        this.#tunnel(socket, call, undefined);
        break;
      case 'tls':
        this.#greet(socket, call);
        break;
      case 'detect':
        this.#detect(socket, call, serveHttp);
        break;
      default:
        detectSocket(socket, { timers: this.#timers, onlyHttp: true }, (detected, raw) =>
          serveHttp(raw, detected),
        );
    }
  }

  /** A socket of the port on which a request names its service: HTTP by its host, TLS by the name it asks for. */
  sortByName(socket: Socket, serveHttp: ServeHttp): void {
    detectSocket(socket, { timers: this.#timers, onlyHttp: true }, (detected, raw) => {
      if (detected !== 'tls') serveHttp(raw, detected);
      else peekClientHello(raw, { timers: this.#timers }, (greeting) => this.#tunnelByName(raw, greeting));
    });
  }

  get #timers() {
    return this.#init.reach.net.timers;
  }

  #greet(socket: Socket, call: Destination): void {
    const timeoutMs = this.#detectMs(call);
    peekClientHello(socket, { timers: this.#timers, timeoutMs }, (greeting, raw) => {
      if ('error' in greeting) this.#refuse(raw, greeting.error);
      else this.#tunnel(raw, call, greeting.serverName);
    });
  }

  #detect(socket: Socket, call: Destination, serveHttp: ServeHttp): void {
    const timeoutMs = this.#detectMs(call);
    const onWhole = (whole: Buffer, raw: Socket) => this.#tunnel(raw, call, undefined, whole);
    detectSocket(socket, { timers: this.#timers, timeoutMs, onWhole }, (detected, raw) => {
      if (detected === 'http1' || detected === 'http2') serveHttp(raw, detected);
      else this.#tunnel(raw, call, undefined);
    });
  }

  #tunnelByName(socket: Socket, greeting: Greeting): void {
    if ('error' in greeting) {
      this.#refuse(socket, greeting.error);
      return;
    }
    const { serverName } = greeting;
    if (serverName === undefined) {
      this.#refuse(
        socket,
        new MeshError('no_route', 'TLS that asks for no server name', { origin: 'downstream' }),
      );
      return;
    }
    const known = this.#findTls(serverName);
    const { resolver } = this.#init;
    if (known !== undefined || resolver === undefined) this.#tunnelTo(socket, known, serverName);
    else resolver.resolve(serverName, () => this.#tunnelTo(socket, this.#findTls(serverName), serverName));
  }

  #tunnelTo(socket: Socket, port: PortRuntime | undefined, serverName: string): void {
    if (socket.destroyed) return;
    if (port !== undefined) this.#tunnel(socket, port, serverName);
    else
      this.#refuse(
        socket,
        new MeshError('no_route', `no TLS service '${serverName}' is known here`, { origin: 'local' }),
      );
  }

  /** The first port of the named service that takes TLS as it is. */
  #findTls(serverName: string): PortRuntime | undefined {
    const { hosts, services }: Runtime = this.#init.proxy.runtime;
    const target = hosts.find(serverName);
    const ports = target === undefined ? undefined : services.get(target.key)?.ports.values();
    let found: PortRuntime | undefined;
    for (const port of ports ?? []) {
      if (port.protocol === 'tls') return port;
      if (port.protocol === 'detect') found ??= port;
    }
    return found;
  }

  #tunnel(
    socket: Socket,
    { service, port }: Destination,
    serverName: string | undefined,
    whole?: Buffer,
  ): void {
    tunnelOutbound(this.#init, this.#conn(socket), { service, port, serverName, whole });
  }

  #refuse(socket: Socket, error: MeshError): void {
    refuse(this.#init.proxy, this.#conn(socket), error);
  }

  #conn(socket: Socket): Conn {
    return new SocketConn(socket, this.#init.reach.net, { origin: 'downstream' });
  }

  #detectMs({ service, port }: Destination): number {
    const cluster = this.#init.proxy.runtime.clusters.get(clusterName(service, port));
    return detectTime(cluster?.description.timeouts.detectMs ?? maxDetectMs);
  }
}

/** The time to look at first bytes, within its bounds. */
export function detectTime(ms: number): number {
  return Math.min(maxDetectMs, Math.max(minDetectMs, ms));
}
