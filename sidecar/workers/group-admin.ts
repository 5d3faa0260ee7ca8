/** The admin page of a group: every page asks all workers and shows their sums, or each of them by its process. */
import { systemClock } from '../../kit/clock.ts';
import { systemRandom } from '../../kit/random.ts';
import type { AdminAddress } from '../../mesh/bootstrap.ts';
import type { Snapshot } from '../../mesh/model.ts';
import { AdminServer } from '../admin/server.ts';
import { FieldMemo } from '../codec/field-memo.ts';
import { createCodecs } from '../codec/index.ts';
import { createFlusher } from '../net/flush.ts';
import { TimerWheel } from '../net/timer-wheel.ts';
import { joinGauges, renderMetrics } from '../observe/exposition.ts';
import { sumReadings } from '../observe/metrics.ts';
import type { SidecarReport, SidecarState } from '../sidecar.ts';
import type { FromWorker } from './messages.ts';
import type { WorkerProcess } from './spawn-worker.ts';

export interface GroupView {
  readonly workers: () => Iterable<WorkerProcess>;
  readonly snapshot: () => Snapshot;
  readonly state: () => SidecarState;
  /** Workers that ended unasked. */
  readonly ended: () => number;
  readonly drain: () => void;
}

/** A worker that does not answer in this time is left out of the page. */
const reportMs = 1_000;

interface WorkerReport {
  readonly pid: number;
  readonly report: SidecarReport;
}

export class GroupAdmin {
  readonly #view: GroupView;
  readonly #server: AdminServer;
  readonly #waiting = new Map<number, (report: SidecarReport) => void>();
  #lastQuestion = 0;

  constructor(view: GroupView) {
    this.#view = view;
    const net = { flusher: createFlusher(), timers: new TimerWheel(systemClock) };
    const codecs = createCodecs({ ...net, random: systemRandom });
    this.#server = new AdminServer(
      { net, codecs, memo: new FieldMemo(0) },
      {
        whyNotReady: () => (view.state() === 'ready' ? undefined : view.state()),
        metrics: async () => {
          const all = (await this.#ask()).map(({ report }) => report);
          const gauges = joinGauges(
            process.pid,
            all.map((report) => report.gauges),
          );
          const metrics = sumReadings(all.map((report) => report.metrics));
          return renderMetrics(metrics, { ...gauges, workersEnded: view.ended() });
        },
        config: () => view.snapshot(),
        clusters: async () =>
          (await this.#ask()).map(({ pid, report }) => ({ worker: pid, clusters: report.clusters })),
        overload: async () =>
          (await this.#ask()).map(({ pid, report }) => ({ worker: pid, overload: report.overload })),
        drain: view.drain,
      },
    );
  }

  get fd(): number | undefined {
    return this.#server.fd;
  }

  open(address: AdminAddress, inherited: number | undefined): Promise<void> {
    return this.#server.open(address, inherited);
  }

  handOver(): void {
    this.#server.handOver();
  }

  close(): void {
    this.#server.close();
  }

  /** An answer of a worker. */
  take(_worker: WorkerProcess, { id, report }: Extract<FromWorker, { kind: 'report' }>): void {
    this.#waiting.get(id)?.(report);
  }

  async #ask(): Promise<WorkerReport[]> {
    const answers = await Promise.all([...this.#view.workers()].map((worker) => this.#askOne(worker)));
    return answers.filter((answer) => answer !== undefined);
  }

  #askOne(worker: WorkerProcess): Promise<WorkerReport | undefined> {
    const id = ++this.#lastQuestion;
    return new Promise((resolve) => {
      const settle = (answer: WorkerReport | undefined) => {
        timer.cancel();
        this.#waiting.delete(id);
        resolve(answer);
      };
      const timer = systemClock.after(reportMs, () => settle(undefined));
      this.#waiting.set(id, (report) => settle({ pid: worker.pid, report }));
      worker.send({ kind: 'report', id });
    });
  }
}
