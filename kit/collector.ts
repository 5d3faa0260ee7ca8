/** V8's collector, to be run at a moment of our choice; Node shows it only where a flag asks for it. */

export interface CollectOptions {
  /** `minor`: only objects, and what they hold outside the heap, that are young. */
  readonly type: 'minor' | 'major';
  readonly execution: 'sync';
  readonly flavor?: 'regular' | 'last-resort';
}

let collector: ((options: CollectOptions) => void) | undefined;

export function collectGarbage(options: CollectOptions): void {
  collector ??= findCollector();
  collector(options);
}

/** A new context has it once the flag is set, the one at hand does not. */
function findCollector(): (options: CollectOptions) => void {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  setFlagsFromString('--expose-gc');
  return process.getBuiltinModule('node:vm').runInNewContext('gc') as (options: CollectOptions) => void;
}
