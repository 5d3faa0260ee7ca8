/**
 * The loopback ports of instances: allocated once, kept over restarts, replaced only where somebody else took
 * one while its process was down. From a range below the kernel's ephemeral ports, so that no outgoing
 * connection holds one; each agent begins at another place, so that agents of one host seldom meet.
 */
import { createServer } from 'node:net';
import { MeshError } from '../../kit/errors.ts';
import type { Random } from '../../kit/random.ts';

/** Purpose → port of one instance, such as `outbound`, `link`, `app/8080`, `plain/8080`, `call/shop/orders:80`. */
export type InstancePorts = Readonly<Record<string, number>>;

export interface PortRequest {
  readonly purpose: string;
  /** Taken where it is free; undefined leaves the choice. */
  readonly wanted: number | undefined;
}

/** Whether a listener could be opened on that port of every local address. */
export type IsPortFree = (port: number) => Promise<boolean>;

export const firstPort = 20_000;
export const lastPort = 32_000;
/** Ports looked at before giving up. */
const maxTries = 500;

export class PortTable {
  #isFree: IsPortFree;
  #random: Random;
  #byInstance = new Map<string, InstancePorts>();
  #next: number;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(isFree: IsPortFree, random: Random) {
    this.#isFree = isFree;
    this.#random = random;
    this.#next = this.#anyPort();
  }

  /** Takes up what an earlier life of the agent allocated. */
  restore(instance: string, ports: InstancePorts): void {
    this.#byInstance.set(instance, ports);
  }

  of(instance: string): InstancePorts {
    return this.#byInstance.get(instance) ?? {};
  }

  /** The instance's ports for `requests`, and only those: known ones stay, new ones are found. */
  allocate(instance: string, requests: readonly PortRequest[]): Promise<InstancePorts> {
    return this.#inTurn(async () => {
      const known = this.of(instance);
      const ports: Record<string, number> = {};
      for (const { purpose, wanted } of requests) {
        ports[purpose] = known[purpose] ?? (await this.#find(wanted));
        this.#byInstance.set(instance, { ...known, ...ports });
      }
      this.#byInstance.set(instance, ports);
      return ports;
    });
  }

  /** Whether somebody listens on one of them. */
  async anyTaken(instance: string, purposes: readonly string[]): Promise<boolean> {
    for (const purpose of purposes) {
      const port = this.of(instance)[purpose];
      if (port !== undefined && !(await this.#isFree(port))) return true;
    }
    return false;
  }

  /** Replaces those of `purposes` that are not free; answers whether any was. */
  replaceTaken(instance: string, purposes: readonly string[]): Promise<boolean> {
    return this.#inTurn(async () => {
      let changed = false;
      for (const purpose of purposes) {
        const port = this.of(instance)[purpose];
        if (port === undefined || (await this.#isFree(port))) continue;
        const found = await this.#find(undefined);
        this.#byInstance.set(instance, { ...this.of(instance), [purpose]: found });
        changed = true;
      }
      return changed;
    });
  }

  release(instance: string): void {
    this.#byInstance.delete(instance);
  }

  /** One search at a time, or two instances would find the same port free. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #find(wanted: number | undefined): Promise<number> {
    if (wanted !== undefined && !this.#isAllocated(wanted) && (await this.#isFree(wanted))) return wanted;
    for (let tries = 0; tries < maxTries; tries++) {
      const port = this.#next;
      this.#next = port >= lastPort ? firstPort : port + 1;
      if (!this.#isAllocated(port) && (await this.#isFree(port))) return port;
      if (tries % 50 === 49) this.#next = this.#anyPort();
    }
    throw new MeshError('unavailable', `no free port found from ${firstPort} to ${lastPort}`, {
      origin: 'local',
    });
  }

  #isAllocated(port: number): boolean {
    for (const ports of this.#byInstance.values()) {
      for (const purpose in ports) if (ports[purpose] === port) return true;
    }
    return false;
  }

  #anyPort(): number {
    return firstPort + Math.floor(this.#random() * (lastPort - firstPort + 1));
  }
}

/** Tries the port on every address, IPv6 and IPv4 in one, or IPv4 alone where the host has no IPv6. */
export const isPortFree: IsPortFree = async (port) => {
  const outcome = await tryListen('::', port);
  return (outcome === 'no_such_family' ? await tryListen('0.0.0.0', port) : outcome) === 'free';
};

function tryListen(host: string, port: number): Promise<'free' | 'taken' | 'no_such_family'> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL' ? 'no_such_family' : 'taken'),
    );
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve('free')));
  });
}
