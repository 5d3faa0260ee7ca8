/**
 * An open-loop mix of traffic that keeps books: every request has a number, every body a hash, and in the end each
 * is answered right, wrong, or not at all. Requests leave by the clock, however slowly answers come.
 */
import { within } from '../eventually.ts';
import { Ended, Refused } from './misses.ts';
import { type Kind, Traffic, type TrafficInit } from './traffic.ts';

export interface LedgerInit extends TrafficInit {
  readonly requestsPerSecond: number;
}

/** One line for each that was not answered right. */
export interface Books {
  readonly sent: number;
  readonly right: number;
  /** Answered with other bytes than expected. */
  readonly wrong: readonly string[];
  /** Not done, and the answer says why. */
  readonly refused: readonly string[];
  /** The connection broke under it. */
  readonly broken: readonly string[];
  /** No answer at all in a long time. */
  readonly silent: readonly string[];
  /** Messages on connections that would have gone on for ever, when they were closed in order. */
  readonly ended: readonly string[];
  /** Answered right, but late. */
  readonly slow: readonly string[];
  readonly byKind: Readonly<Partial<Record<Kind, number>>>;
}

/** How often each kind comes up; pings run beside. */
const mix: readonly (readonly [Kind, number])[] = [
  ['get', 44],
  ['post', 12],
  ['chunked', 12],
  ['pipelined', 8],
  ['h2_get', 6],
  ['h2_post', 4],
  ['grpc', 8],
  ['tcp', 3],
  ['download', 2],
  ['poll', 1],
];
const total = mix.reduce((sum, [, weight]) => sum + weight, 0);
const tickMs = 10;
const pingMs = 1_000;
const answerMs = 60_000;
/** A late answer is told, and no more: the machine may be slow. */
const slowMs = 5_000;

export class Ledger {
  readonly #requestsPerSecond: number;
  readonly #traffic: Traffic;
  readonly #wrong: string[] = [];
  readonly #refused: string[] = [];
  readonly #broken: string[] = [];
  readonly #silent: string[] = [];
  readonly #ended: string[] = [];
  readonly #slow: string[] = [];
  readonly #byKind: Partial<Record<Kind, number>> = {};
  readonly #inFlight = new Set<Promise<void>>();
  readonly #timers: NodeJS.Timeout[] = [];
  #sent = 0;
  #right = 0;

  constructor({ requestsPerSecond, ...init }: LedgerInit) {
    this.#requestsPerSecond = requestsPerSecond;
    this.#traffic = new Traffic(init);
  }

  get sent(): number {
    return this.#sent;
  }

  /** Not answered right so far. */
  get failed(): number {
    return this.#wrong.length + this.#refused.length + this.#broken.length + this.#silent.length;
  }

  start(): void {
    const startedMs = performance.now();
    let due = 0;
    this.#timers.push(
      setInterval(() => {
        const seconds = (performance.now() - startedMs) / 1_000;
        for (; due < seconds * this.#requestsPerSecond; due++) this.#launch(kindOf(due));
      }, tickMs),
      setInterval(() => this.#launch('ping'), pingMs),
    );
  }

  /** Sends nothing more, waits for what is in flight, and closes the books. */
  async close(): Promise<Books> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#inFlight);
    this.#traffic.close();
    return {
      sent: this.#sent,
      right: this.#right,
      wrong: this.#wrong,
      refused: this.#refused,
      broken: this.#broken,
      silent: this.#silent,
      ended: this.#ended,
      slow: this.#slow,
      byKind: this.#byKind,
    };
  }

  #launch(kind: Kind): void {
    const seq = this.#sent++;
    this.#byKind[kind] = (this.#byKind[kind] ?? 0) + 1;
    const startedMs = performance.now();
    const line = (what: string, ageMs: number) =>
      `${kind} ${seq}: ${what.trim()} (at ${new Date().toISOString().slice(11, 23)} after ${Math.round(ageMs)} ms)`;
    const done = within(this.#traffic.ask(kind, seq), 'its answer', answerMs).then(
      (problem) => {
        const ageMs = performance.now() - startedMs;
        if (problem !== undefined) this.#wrong.push(line(problem, ageMs));
        else {
          this.#right++;
          if (ageMs >= slowMs) this.#slow.push(line('late', ageMs));
        }
      },
      (error: Error) => {
        const ageMs = performance.now() - startedMs;
        const told = line(error.message, ageMs);
        if (error instanceof Refused) this.#refused.push(told);
        else if (error instanceof Ended) this.#ended.push(told);
        else if (ageMs >= answerMs) this.#silent.push(told);
        else this.#broken.push(told);
      },
    );
    this.#inFlight.add(done);
    void done.then(() => this.#inFlight.delete(done));
  }
}

function kindOf(at: number): Kind {
  // Spread by a step that shares no factor with the sum, so that kinds alternate.
  let left = (at * 37) % total;
  for (const [kind, weight] of mix) {
    if (left < weight) return kind;
    left -= weight;
  }
  return 'get';
}
