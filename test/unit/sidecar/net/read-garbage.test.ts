import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { describe, it } from 'node:test';
import { maxReadGarbageBytes, noteReadBuffer } from '../../../../sidecar/net/read-garbage.ts';
import { eventually } from '../../../support/eventually.ts';

const { NODE_PERFORMANCE_GC_MINOR: minor } = constants;

describe('noteReadBuffer', () => {
  it('has the young generation collected whenever so much was read', async (t) => {
    let collections = 0;
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as (PerformanceEntry & { detail: { kind: number } })[]) {
        if (detail.kind === minor) collections++;
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    t.after(() => observer.disconnect());
    const wanted = 20;
    const bytes = maxReadGarbageBytes / 128;
    for (let read = 0; read < wanted * 128; read++) noteReadBuffer(bytes);
    await eventually(() => collections >= wanted);
  });
});
