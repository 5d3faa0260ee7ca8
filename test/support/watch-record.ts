/** A watcher that keeps everything it is told. */
import type { Store, StoreEvent, Watch, Watcher } from '../../pilot/store/store.ts';

export interface WatchRecord {
  readonly events: StoreEvent[];
  readonly calls: string[];
  readonly progress: number[];
  resetReason: Error | undefined;
  readonly watch: Watch;
}

export function recordWatch(store: Store, prefix: string, fromRevision: number): WatchRecord {
  const record = { events: [] as StoreEvent[], calls: [] as string[], progress: [] as number[] };
  const whole = { ...record, resetReason: undefined as Error | undefined };
  const watcher: Watcher = {
    onEvents(events) {
      whole.events.push(...events);
    },
    onProgress(revision) {
      whole.progress.push(revision);
    },
    onConnected() {
      whole.calls.push('connected');
    },
    onDisconnected() {
      whole.calls.push('disconnected');
    },
    onReset(reason) {
      whole.resetReason = reason;
    },
  };
  return Object.assign(whole, { watch: store.watch(prefix, fromRevision, watcher) });
}
