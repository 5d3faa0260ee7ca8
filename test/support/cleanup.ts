/**
 * What a test opened, closed in the reverse order: `t.after` alone runs first to last, which would remove a
 * folder before the process that writes to it has ended.
 */
import { after } from 'node:test';

type Close = () => void | Promise<void>;

/** A test (`t`), or what `suiteScope` gives. */
export interface Scope {
  after(close: Close): void;
}

const stacks = new WeakMap<Scope, Close[]>();

/** A scope of a whole suite or file, for what a `before` hook opens; called where the suite is declared. */
export function suiteScope(): Scope {
  const closes: Close[] = [];
  after(async () => {
    for (const close of closes) await close();
  });
  return { after: (close) => void closes.push(close) };
}

/** Runs `close` when the test has ended, after everything that was deferred later. */
export function defer(t: Scope, close: Close): void {
  const known = stacks.get(t);
  if (known !== undefined) {
    known.push(close);
    return;
  }
  const stack = [close];
  stacks.set(t, stack);
  t.after(async () => {
    const failures: unknown[] = [];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      try {
        await next();
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'cleaning up failed');
  });
}
