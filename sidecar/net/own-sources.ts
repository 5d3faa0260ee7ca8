/**
 * The source addresses of connections that this process made. A connection that is taken from its path and comes in
 * from one of them is our own: the rules did not exempt us, and to serve it would go round for ever. Of several
 * workers each knows its own, so that a connection may go round as often as there are workers until it is known.
 */
import type { Socket } from 'node:net';
import { canonicalAddress } from './original-destination.ts';

export class OwnSources {
  /** Not connected yet: their source is known to the kernel, but nobody was told. */
  readonly #dialling = new Set<Socket>();
  readonly #connected = new Set<string>();

  /** Watches a socket from before it is connected until it is closed. */
  add(socket: Socket): void {
    let source = '';
    this.#dialling.add(socket);
    socket.once('connect', () => {
      this.#dialling.delete(socket);
      source = sourceOf(socket.localAddress, socket.localPort);
      this.#connected.add(source);
    });
    socket.once('close', () => {
      this.#dialling.delete(socket);
      this.#connected.delete(source);
    });
  }

  /** Whether a connection that comes from this address and port is one that we made. */
  has(address: string, port: number): boolean {
    const source = sourceOf(address, port);
    if (this.#connected.has(source)) return true;
    // It may be accepted in the same loop turn before its own end hears that it is connected.
    for (const socket of this.#dialling) {
      if (sourceOf(socket.localAddress, socket.localPort) === source) return true;
    }
    return false;
  }
}

function sourceOf(address: string | undefined, port: number | undefined): string {
  return `${canonicalAddress(address ?? '')} ${port ?? 0}`;
}
