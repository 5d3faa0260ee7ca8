/** Supervisors on a folder of the test's own, with real processes: the fake sidecar and the test application. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Clock, systemClock } from '../../../kit/clock.ts';
import { silentLog } from '../../../kit/log.ts';
import { systemRandom } from '../../../kit/random.ts';
import type { InstanceReport, PlacedWorkload, Placement } from '../../../mesh/placement.ts';
import { instanceFiles, type NodeSettings } from '../../../node-agent/plan/instance-plan.ts';
import { mark as marks } from '../../../node-agent/supervisor/marks.ts';
import { isPortFree } from '../../../node-agent/supervisor/ports.ts';
import { createProcessTable } from '../../../node-agent/supervisor/proc.ts';
import { runProbe } from '../../../node-agent/supervisor/readiness.ts';
import { refusedRetryMs } from '../../../node-agent/supervisor/refusals.ts';
import { createSpawn } from '../../../node-agent/supervisor/spawn.ts';
import { Supervisor } from '../../../node-agent/supervisor/supervisor.ts';
import { defer } from '../cleanup.ts';
import { eventually } from '../eventually.ts';
import { mark } from '../processes.ts';
import { tempFolder } from '../temp-folder.ts';

const here = import.meta.dirname;
export const fakeHeddle: readonly string[] = [process.execPath, join(here, 'fake-heddle.mjs')];
export const application = join(here, 'application.mjs');

export interface SupervisorBench {
  readonly stateDir: string;
  readonly settings: NodeSettings;
  readonly logFolder: (id: string) => string;
  /** A supervisor as a new agent would make it; the one before must be closed. */
  open(): Supervisor;
  /** Pids by `ROLE INSTANCE` of everything that runs here. */
  running(): Map<string, number[]>;
  /** What was last told of that instance; undefined where it is gone. */
  told(id: string): InstanceReport | undefined;
  /** The time has come to try once more what could not be started. */
  retryRefused(): void;
  /** Waits until that instance is ready and answers its report. */
  ready(supervisor: Supervisor, id: string): Promise<InstanceReport>;
}

export function supervisorBench(t: TestContext): SupervisorBench {
  const stateDir = tempFolder(t);
  const table = createProcessTable();
  const told = new Map<string, InstanceReport>();
  let retry = (): void => {};
  const clock: Clock = {
    ...systemClock,
    every(periodMs, fire) {
      if (periodMs === refusedRetryMs) retry = fire;
      return systemClock.every(periodMs, fire);
    },
  };
  const settings: NodeSettings = {
    node: 'n1',
    stateDir,
    addresses: ['127.0.0.1'],
    loopback: ['127.0.0.1'],
    heddle: fakeHeddle,
    env: process.env,
    allowShortLifetimes: false,
  };
  // Whatever the test left running here ends with it, by its own pid.
  defer(t, async () => {
    for (const { ref } of table.marked(marks.stateDir, stateDir)) table.kill(ref.pid, 'SIGKILL', 'process');
    await eventually(() => table.marked(marks.stateDir, stateDir).length === 0);
  });
  return {
    stateDir,
    settings,
    logFolder: (id) => instanceFiles(stateDir, id).logFolder,
    open() {
      const supervisor = new Supervisor({
        settings,
        clock,
        random: systemRandom,
        table,
        spawn: createSpawn(table),
        probe: runProbe,
        isPortFree,
        log: silentLog,
        onPlanned: async ({ id }) => {
          mkdirSync(dirname(instanceFiles(stateDir, id).relaySocket), { recursive: true });
        },
        onGone: (id) => void told.delete(id),
        onReport: (report) => void told.set(report.id, report),
      });
      defer(t, () => supervisor.close());
      return supervisor;
    },
    running() {
      const found = new Map<string, number[]>();
      for (const { ref, session, env } of table.marked(marks.stateDir, stateDir)) {
        if (ref.pid !== session) continue;
        const key = `${env[marks.role]} ${env[marks.instance]}`;
        found.set(key, [...(found.get(key) ?? []), ref.pid]);
      }
      return found;
    },
    told: (id) => told.get(id),
    retryRefused: () => retry(),
    ready: (supervisor, id) =>
      eventually(() => supervisor.reports().find((report) => report.id === id && report.state === 'ready'), {
        what: `${id} is ready`,
      }),
  };
}

export function placementOf(...workloads: PlacedWorkload[]): Placement {
  return { version: 1, trustDomain: 'mesh.test', workloads };
}

/** `shop/NAME`, one instance of the test application with these arguments. */
export function workloadOf(
  name: string,
  args: readonly string[] = [],
  rest: Partial<PlacedWorkload> = {},
): PlacedWorkload {
  return {
    namespace: 'shop',
    workload: name,
    account: name,
    replicas: 1,
    command: [process.execPath, application, ...args, `mark=${mark}`],
    env: {},
    cwd: undefined,
    user: undefined,
    ports: [{ name: 'http', port: 8080, protocol: 'http' }],
    calls: [],
    readiness: undefined,
    ...rest,
  };
}
