/**
 * How the descriptors of a process are shared out between connections that come in and connections that are made.
 * At EMFILE libuv would close what it accepts without a word; below this budget it never comes to that, and what is
 * turned away is counted.
 *
 *   │ reserve │ callers, at least a quarter │ whoever comes first │ upstreams, at least a quarter │
 */
import { readFileSync } from 'node:fs';

/** For listening sockets, the admin page, files, pipes to children and the runtime. */
export const reservedDescriptors = 512;
/** A small limit gives up no more than this share of itself. */
const mostReserved = 0.5;
/** What the other side can never take. */
const ownShare = 0.25;
/** Where the limit cannot be read: what most systems give. */
const unknownLimit = 1024;

export class DescriptorBudget {
  /** Connections of both sides together, and of one side alone. */
  readonly total: number;
  readonly perSide: number;
  downstream = 0;
  upstream = 0;
  /** Callers that were turned away, and dials that were not made. */
  dropped = 0;
  refusedDials = 0;

  /** `limit` is the process's limit of open files. */
  constructor(limit: number) {
    this.total = Math.floor(limit - Math.min(reservedDescriptors, limit * mostReserved));
    this.perSide = Math.floor(this.total * (1 - ownShare));
  }

  /** Whether another dial would find a descriptor. */
  get mayDial(): boolean {
    return this.upstream < this.perSide && this.downstream + this.upstream < this.total;
  }

  /** Takes the place of an accepted connection; false where there is none, which is counted. */
  takeDownstream(): boolean {
    if (this.downstream >= this.perSide || this.downstream + this.upstream >= this.total) {
      this.dropped++;
      return false;
    }
    this.downstream++;
    return true;
  }

  /** Takes the place of a connection that is to be made; false where there is none, which is counted. */
  takeUpstream(): boolean {
    if (!this.mayDial) {
      this.refusedDials++;
      return false;
    }
    this.upstream++;
    return true;
  }

  readonly giveBackDownstream = (): void => {
    this.downstream--;
  };

  readonly giveBackUpstream = (): void => {
    this.upstream--;
  };
}

/** This process's limit of open files, as the kernel has it (Node raises it to the hard limit when it starts). */
export function openFilesLimit(limitsFile = '/proc/self/limits'): number {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync(limitsFile, 'utf8'))?.[1];
    const limit = Number(soft);
    return limit > 0 ? limit : soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : unknownLimit;
  } catch {
    return unknownLimit;
  }
}
