/** What goes wrong during a soak, one thing at a time, and mended again. */
import { defer, type Scope } from '../cleanup.ts';
import { eventually } from '../eventually.ts';
import { ask } from '../http-app.ts';
import type { Instance, Stage } from './stage.ts';

export type FaultKind = 'reset' | 'freeze' | 'kill_app' | 'kill_instance' | 'kill_worker' | 'replace';

/** In the order of their turns; between two kills every instance is whole again. */
export const faultKinds: readonly FaultKind[] = [
  'reset',
  'freeze',
  'kill_app',
  'replace',
  'kill_worker',
  'kill_instance',
];

/** How long an application stands still, or stays away. */
const outageMs = 2_000;

export class Faults {
  readonly #stage: Stage;
  readonly #frozen = new Set<Instance>();
  #turn = 0;

  constructor(scope: Scope, stage: Stage) {
    this.#stage = stage;
    defer(scope, () => {
      for (const { app } of this.#frozen) app.signal('SIGCONT');
    });
  }

  /** Lets the next fault happen, and comes back when it is mended. */
  async next(): Promise<FaultKind> {
    const kind = faultKinds[this.#turn % faultKinds.length] as FaultKind;
    const { instances, caller } = this.#stage;
    const instance = instances[Math.floor(this.#turn / faultKinds.length) % instances.length] as Instance;
    this.#turn++;
    switch (kind) {
      case 'reset':
        instance.app.signal('SIGUSR2');
        break;
      case 'freeze':
        this.#frozen.add(instance);
        instance.app.signal('SIGSTOP');
        await pause(outageMs);
        instance.app.signal('SIGCONT');
        this.#frozen.delete(instance);
        break;
      case 'kill_app':
        instance.app.signal('SIGKILL');
        await instance.app.ended();
        await pause(outageMs);
        await instance.app.start();
        break;
      case 'kill_instance':
        instance.app.signal('SIGKILL');
        await instance.sidecar.kill();
        await instance.app.ended();
        await pause(outageMs);
        await instance.app.start();
        await instance.sidecar.start();
        break;
      case 'kill_worker':
        await this.#killWorker();
        break;
      case 'replace':
        await caller.replace();
        break;
    }
    return kind;
  }

  async #killWorker(): Promise<void> {
    const workers = async (): Promise<number[]> => {
      const { admin } = this.#stage.caller.side.bootstrap;
      const { body } = await ask('port' in admin ? admin.port : 0, { path: '/clusters' });
      return (JSON.parse(body) as { worker: number }[]).map(({ worker }) => worker);
    };
    const before = await workers();
    const victim = before[this.#turn % before.length] as number;
    process.kill(victim, 'SIGKILL');
    await eventually(
      async () => {
        const now = await workers();
        return now.length === before.length && !now.includes(victim);
      },
      { withinMs: 30_000, what: 'another worker' },
    );
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
