/**
 * The ways in for connections that nftables took from their own way: where one was going is asked of the kernel.
 *
 *   outbound: an endpoint's address ─▶ its service; else a host of ours ─▶ its service; else on as it is, or refused
 *   inbound:  a declared port ─▶ what callers without a link get there; else on to the application as it is
 *
 * A connection that came straight to these ports, or that this sidecar made itself, is refused: served, it would
 * come back for ever. Rules exempt the sidecar's user, so this is what remains when they are wrong.
 */
import type { Socket } from 'node:net';
import type { OutboundPolicy } from '../../mesh/bootstrap.ts';
import { parseServiceName } from '../../mesh/decide/hosts.ts';
import { isOpaque } from '../../mesh/model.ts';
import type { ReachServices } from '../cluster/reach.ts';
import type { Conn } from '../net/conn.ts';
import { type Detected, detectSocket } from '../net/detect.ts';
import type { DialTarget } from '../net/dial.ts';
import { originalDestination } from '../net/original-destination.ts';
import { peerOf } from '../net/socket-conn.ts';
import type { OutboundPlanner } from '../proxy/outbound.ts';
import type { ProxyState } from '../proxy/serve.ts';
import type { Resolver } from '../runtime/resolver.ts';
import { type Forwarding, findPort } from '../runtime/runtime.ts';
import type { Sorter } from '../sorter.ts';
import { type Destination, findDestination } from './destinations.ts';
import { forwardingTo, type PassThrough } from './pass-through.ts';
import { peekHost } from './peek-host.ts';

export interface DoorServices {
  readonly proxy: ProxyState;
  readonly reach: ReachServices;
  readonly resolver: Resolver | undefined;
  readonly passThrough: PassThrough;
  readonly sorter: Sorter;
  /** Whether one of this sidecar's own listeners is there. */
  readonly isOwn: (address: DialTarget) => boolean;
  readonly plainConn: (socket: Socket) => Conn;
}

export interface OutboundDoorOptions {
  readonly policy: OutboundPolicy;
  /** Plans by service port, or by host, with a last resort for hosts that are not known. */
  readonly createPlanner: (
    call: Destination | undefined,
    otherwise: (() => Forwarding) | undefined,
  ) => OutboundPlanner;
  readonly serve: (socket: Socket, protocol: 'http1' | 'http2', planner: OutboundPlanner) => void;
}

/** Towards places that are not known: a server that speaks first is kept waiting for so long. */
const silenceMs = 300;

export class OutboundDoor {
  readonly #services: DoorServices;
  readonly #options: OutboundDoorOptions;

  constructor(services: DoorServices, options: OutboundDoorOptions) {
    this.#services = services;
    this.#options = options;
  }

  accept(socket: Socket): void {
    const { proxy, reach, plainConn, passThrough, sorter } = this.#services;
    const to = destinationOf(socket, this.#services);
    if (to === undefined) return;
    const known = findDestination(proxy.runtime.snapshot, to);
    const { timers } = reach.net;
    if (known === undefined) {
      const options = { timers, timeoutMs: silenceMs };
      detectSocket(socket, options, (detected) => this.#takeUnknown(socket, to, detected));
    } else if (isOpaque(known.protocol) || known.protocol === 'detect') {
      sorter.sort(socket, known, (raw, detected) => this.#serveKnown(raw, known, detected));
    } else {
      detectSocket(socket, { timers, onlyHttp: true }, (detected) => {
        // The application's own TLS can only be ended where it was meant to end.
        if (detected === 'tls') passThrough.carry(plainConn(socket), to, 'outbound');
        else this.#serveKnown(socket, known, detected);
      });
    }
  }

  #serveKnown(socket: Socket, known: Destination, detected: Detected): void {
    const planner = this.#options.createPlanner(known, undefined);
    this.#options.serve(socket, detected === 'http2' ? 'http2' : 'http1', planner);
  }

  #takeUnknown(socket: Socket, to: DialTarget, detected: Detected): void {
    if (detected === 'http2') this.#serveByHost(socket, to, 'http2');
    else if (detected !== 'http1') this.#passOn(socket, to);
    // Where strangers are refused nothing goes on as it is, and who speaks HTTP gets an answer that says so.
    else if (this.#options.policy === 'registry_only') this.#serveByHost(socket, to, 'http1');
    else {
      peekHost(socket, this.#services.reach.net.timers, (host) => {
        if (host === 'absent') this.#passOn(socket, to);
        else this.#lookUp(socket, to, host.authority);
      });
    }
  }

  /** Served where the host is one of ours, now or once the pilot was asked; else on as it is. */
  #lookUp(socket: Socket, to: DialTarget, authority: string): void {
    const { proxy, resolver } = this.#services;
    const isKnown = () => findPort(proxy.runtime, authority) !== undefined;
    const decide = () => {
      if (isKnown()) this.#serveByHost(socket, to, 'http1');
      else this.#passOn(socket, to);
    };
    const { namespace } = proxy.runtime.snapshot.self;
    const mayBeOurs = parseServiceName(authority, namespace) !== undefined;
    if (isKnown() || resolver === undefined || !mayBeOurs) decide();
    else resolver.resolve(authority, decide);
  }

  #serveByHost(socket: Socket, to: DialTarget, protocol: 'http1' | 'http2'): void {
    if (socket.destroyed) return;
    const { createPlanner, policy, serve } = this.#options;
    const { proxy, reach } = this.#services;
    let forwarding: Forwarding | undefined;
    const otherwise = () => {
      forwarding ??= forwardingTo(to, protocol === 'http2' ? 'http2' : 'http', proxy, reach);
      return forwarding;
    };
    serve(socket, protocol, createPlanner(undefined, policy === 'allow_any' ? otherwise : undefined));
  }

  #passOn(socket: Socket, to: DialTarget): void {
    if (socket.destroyed) return;
    const { proxy, passThrough, plainConn } = this.#services;
    if (this.#options.policy === 'allow_any') passThrough.carry(plainConn(socket), to, 'outbound');
    else refuse(socket, proxy, 'the mesh knows no service there, and others are not allowed', to);
  }
}

export interface InboundDoorOptions {
  /** What takes connections to that port of the application; undefined where the port is not declared. */
  readonly doorOf: (appPort: number) => ((socket: Socket) => void) | undefined;
}

export class InboundDoor {
  readonly #services: DoorServices;
  readonly #options: InboundDoorOptions;

  constructor(services: DoorServices, options: InboundDoorOptions) {
    this.#services = services;
    this.#options = options;
  }

  accept(socket: Socket): void {
    const to = destinationOf(socket, this.#services);
    if (to === undefined) return;
    const door = this.#options.doorOf(to.port);
    if (door !== undefined) door(socket);
    else this.#services.passThrough.carry(this.#services.plainConn(socket), to, 'inbound');
  }
}

/** Where the connection was going; undefined where it is refused, which is done then. */
function destinationOf(socket: Socket, { proxy, reach, isOwn }: DoorServices): DialTarget | undefined {
  const to = originalDestination(socket);
  if (to === undefined) {
    refuse(socket, proxy, 'where it was going cannot be read (is nftables REDIRECT in force?)', to);
    return undefined;
  }
  const { address, port } = peerOf(socket);
  if (isOwn(to)) {
    refuse(socket, proxy, 'it came straight to a port for intercepted connections', to);
  } else if (reach.ownSources?.has(address, port) === true) {
    refuse(socket, proxy, "this sidecar made it itself: the rules do not exempt the sidecar's user", to);
  } else return to;
  return undefined;
}

function refuse(socket: Socket, proxy: ProxyState, reason: string, to: DialTarget | undefined): void {
  proxy.metrics.refused++;
  const { address, port } = peerOf(socket);
  proxy.log.warn('intercepted connection refused', {
    from: `${address} ${port}`,
    ...(to === undefined ? {} : { to: `${to.address} ${to.port}` }),
    reason,
  });
  socket.resetAndDestroy();
}
