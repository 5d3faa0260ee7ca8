/** A live World over a real store, closed with the test. */
import type { TestContext } from 'node:test';
import { systemClock } from '../../kit/clock.ts';
import { silentLog } from '../../kit/log.ts';
import { systemRandom } from '../../kit/random.ts';
import type { Resource } from '../../mesh/resource/resource.ts';
import type { Store } from '../../pilot/store/store.ts';
import { type LiveWorld, type LiveWorldOptions, openLiveWorld } from '../../pilot/world/live-world.ts';
import { defer } from './cleanup.ts';

export async function liveWorld(
  t: Pick<TestContext, 'after'>,
  store: Store,
  options: Partial<LiveWorldOptions> = {},
): Promise<LiveWorld> {
  const live = await openLiveWorld({
    store,
    trustDomain: 'mesh.test',
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    ...options,
  });
  defer(t, () => live.close());
  return live;
}

/** A resource of a kind that nothing checks. */
export function note(name: string, text: string, namespace = 'shop'): Resource {
  const metadata = { name, namespace, labels: {}, annotations: {} };
  return { apiVersion: 'heddle/v1', kind: 'Note', metadata, spec: { text } };
}
