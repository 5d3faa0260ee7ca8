/** Waiting for conditions instead of times, so that tests hold on a slow machine and end early on a fast one. */
export interface EventuallyOptions {
  /** Gives up after this long; generous, for only a failing test waits so long. */
  readonly withinMs?: number;
  readonly everyMs?: number;
  /** What is waited for, in the message of the failure. */
  readonly what?: string;
}

/**
 * Calls `condition` until it returns something truthy, and returns that. A throw counts as "not yet" and its
 * message is told when time is up.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<NonNullable<T>> {
  const { withinMs = 15_000, everyMs = 20, what = 'condition' } = options;
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`${what} did not come true within ${withinMs} ms; last: ${describeLast(last)}`, {
        cause: last,
      });
    }
    await pause(everyMs);
  }
}

/** Rejects with `what` where `promise` takes longer than `withinMs`. */
export async function within<T>(promise: Promise<T>, what: string, withinMs = 15_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${withinMs} ms`)), withinMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function describeLast(last: unknown): string {
  return last instanceof Error ? last.message : (JSON.stringify(last) ?? String(last));
}
