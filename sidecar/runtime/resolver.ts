/**
 * Names that no declared call covers: asked of the pilot at the first call. All who ask for one name share one
 * look-up and wait at most a second; that a name is absent is remembered for a while.
 */
import type { Clock, Timer } from '../../kit/clock.ts';

/** `known`: the runtime has it now. `silent`: nobody answered in time. */
export type ResolveAnswer =
  | { readonly kind: 'known' }
  | { readonly kind: 'absent'; readonly near: readonly string[] }
  | { readonly kind: 'silent' };

export type OnResolved = (answer: ResolveAnswer) => void;

export interface Resolver {
  /** Calls back once, later than this call or within it. */
  resolve(authority: string, onResolved: OnResolved): void;
}

/** Sends the question; the answer comes by `AskingResolver.answer`. */
export type Ask = (authority: string) => void;

const waitMs = 1_000;
const rememberAbsentMs = 5_000;
/** Names asked for or remembered at once; beyond, callers are told that nobody answers. */
const maxNames = 1_024;

interface Question {
  readonly waiting: OnResolved[];
  readonly timer: Timer;
}

export class AskingResolver implements Resolver {
  readonly #ask: Ask;
  readonly #clock: Clock;
  readonly #questions = new Map<string, Question>();
  readonly #absent = new Map<string, { readonly near: readonly string[]; readonly untilMs: number }>();

  constructor(ask: Ask, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  resolve(authority: string, onResolved: OnResolved): void {
    const absent = this.#absent.get(authority);
    if (absent !== undefined && absent.untilMs > this.#clock.nowMs()) {
      onResolved({ kind: 'absent', near: absent.near });
      return;
    }
    this.#absent.delete(authority);
    const question = this.#questions.get(authority);
    if (question !== undefined) {
      question.waiting.push(onResolved);
    } else if (this.#questions.size >= maxNames) {
      onResolved({ kind: 'silent' });
    } else {
      const timer = this.#clock.after(waitMs, () => this.answer(authority, { kind: 'silent' }));
      this.#questions.set(authority, { waiting: [onResolved], timer });
      this.#ask(authority);
    }
  }

  /** Settles a question; one that nobody waits for any more is dropped. */
  answer(authority: string, answer: ResolveAnswer): void {
    if (answer.kind === 'absent') this.#rememberAbsent(authority, answer.near);
    const question = this.#questions.get(authority);
    if (question === undefined) return;
    this.#questions.delete(authority);
    question.timer.cancel();
    for (const onResolved of question.waiting) onResolved(answer);
  }

  /** In the place of the oldest, where it is one too many. */
  #rememberAbsent(authority: string, near: readonly string[]): void {
    this.#absent.delete(authority);
    const [oldest] = this.#absent.keys();
    if (oldest !== undefined && this.#absent.size >= maxNames) this.#absent.delete(oldest);
    this.#absent.set(authority, { near, untilMs: this.#clock.nowMs() + rememberAbsentMs });
  }
}
