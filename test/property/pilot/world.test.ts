import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../../kit/clock.ts';
import { silentLog } from '../../../kit/log.ts';
import { openEmbeddedStore } from '../../../pilot/store/embedded.ts';
import type { Store } from '../../../pilot/store/store.ts';
import { createChangeApplier } from '../../../pilot/world/apply-changes.ts';
import { isSame, packLines, type ResourceChange, unpackLines } from '../../../pilot/world/change-set.ts';
import { startHousekeeping } from '../../../pilot/world/housekeeping.ts';
import { eventually } from '../../support/eventually.ts';
import { guardLeaks } from '../../support/leak-guard.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { liveWorld, note } from '../../support/worlds.ts';

guardLeaks();

const names = ['a', 'b', 'c', 'd'];
const change: fc.Arbitrary<ResourceChange> = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    resource: fc.tuple(fc.constantFrom(...names), fc.string()).map(([name, text]) => note(name, text)),
  }),
  fc.record({
    kind: fc.constant('delete' as const),
    ref: fc.constantFrom(...names).map((name) => ({ kind: 'Note', namespace: 'shop', name })),
  }),
);
const nameOf = (entry: ResourceChange) =>
  entry.kind === 'put' ? entry.resource.metadata.name : entry.ref.name;
const set = fc.uniqueArray(change, { minLength: 1, maxLength: names.length, selector: nameOf });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: set },
  { weight: 1, arbitrary: fc.constant('tidy' as const) },
);

type Step = readonly ResourceChange[] | 'tidy';

describe('any sequence of change sets', () => {
  it('gives the same World to who followed it, to who lists afterwards, and to a plain map', async (t) => {
    const folder = tempFolder(t);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const store = await openEmbeddedStore({ path: join(folder, `${run++}.db`) });
        try {
          await checkRun(t, store, steps);
        } finally {
          await store.close();
        }
      }),
      { numRuns: 25 },
    );
  });
});

async function checkRun(t: TestContext, store: Store, steps: readonly Step[]): Promise<void> {
  const live = await liveWorld(t, store);
  const follower = await liveWorld(t, store);
  const housekeeping = startHousekeeping({
    store,
    live,
    clock: systemClock,
    log: silentLog,
    maxLooseSets: 3,
  });
  const { apply } = createChangeApplier(store, live, systemClock);
  const model = new Map<string, unknown>();
  try {
    for (const entry of steps) {
      if (entry === 'tidy') await housekeeping.tidy(new AbortController().signal);
      else {
        await apply(entry);
        remember(model, entry);
      }
    }
    const { version } = live.current;
    await eventually(() => follower.current.version.revision === version.revision);
    const late = await liveWorld(t, store);
    for (const { current } of [live, follower, late]) {
      assert.deepEqual(current.version, version);
      const stored = [...(current.resources.get('Note')?.values() ?? [])];
      assert.deepEqual(new Map(stored.map(({ resource }) => [resource.metadata.name, resource])), model);
    }
    late.close();
  } finally {
    housekeeping.close();
    live.close();
    follower.close();
  }
}

function remember(model: Map<string, unknown>, changes: readonly ResourceChange[]): void {
  for (const each of changes) {
    if (each.kind === 'put') model.set(nameOf(each), each.resource);
    else model.delete(nameOf(each));
  }
}

describe('packLines', () => {
  it('is undone by unpackLines, whatever the lines and wherever they are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.json()), fc.integer({ min: 1, max: 100_000 }), (lines, repeat) => {
        const padded = lines.map((line) => JSON.stringify(line).padEnd(repeat, ' '));
        assert.deepEqual(packLines(padded).flatMap(unpackLines), padded);
      }),
      { numRuns: 50 },
    );
  });
});

describe('isSame', () => {
  it('sees what JSON sees, whatever the order of the fields', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        assert.ok(isSame(a, JSON.parse(JSON.stringify(a))));
        assert.equal(isSame(a, b), isSame(b, a));
        if (isSame(a, b)) assert.deepEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
      }),
      { examples: [[[-0], '']] },
    );
  });
});
