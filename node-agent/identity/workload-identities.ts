/** One key and certificate for each workload placed here, kept fresh and on disk; its instances share it. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyPairKeeper, type KeyPairKeeper } from '../../certs/client/key-pair-keeper.ts';
import type { Clock } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { workloadName } from '../../mesh/identity.ts';
import type { PlacedWorkload } from '../../mesh/placement.ts';
import type { IssuedCertificate } from '../../proto/certificates-wire.ts';

export interface WorkloadIdentitiesInit {
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly issue: (
    workload: Pick<PlacedWorkload, 'namespace' | 'workload'>,
    signingRequest: Buffer,
    signal: AbortSignal,
  ) => Promise<IssuedCertificate>;
  /** A workload, by `NAMESPACE/WORKLOAD`, has a new identity. */
  readonly onIdentity: (workload: string, identity: IdentityBundle) => void;
}

interface Held {
  readonly name: string;
  readonly file: string;
  readonly keeper: KeyPairKeeper;
}

export class WorkloadIdentities {
  readonly #init: WorkloadIdentitiesInit;
  readonly #held = new Map<string, Held>();

  constructor(init: WorkloadIdentitiesInit) {
    this.#init = init;
  }

  /** Keeps identities for exactly these workloads; files of others are removed. */
  follow(trustDomain: string, workloads: readonly PlacedWorkload[]): void {
    const wanted = new Map(workloads.map((workload) => [keyOf(workload), workload]));
    for (const [key, held] of this.#held) {
      const workload = wanted.get(key);
      const name =
        workload === undefined ? '' : workloadName(trustDomain, workload.namespace, workload.account);
      if (name === held.name) continue;
      held.keeper.close();
      this.#held.delete(key);
      rmSync(held.file, { force: true });
    }
    for (const [key, workload] of wanted) if (!this.#held.has(key)) this.#hold(key, trustDomain, workload);
  }

  current(workload: string): IdentityBundle | undefined {
    return this.#held.get(workload)?.keeper.current?.bundle;
  }

  /** The SPIFFE name of a workload that is placed here. */
  nameOf(workload: string): string | undefined {
    return this.#held.get(workload)?.name;
  }

  /** Milliseconds since 1970 at which each workload's certificate ends, for status. */
  expiries(): ReadonlyMap<string, number> {
    const ends = new Map<string, number>();
    for (const [key, { keeper }] of this.#held) {
      const kept = keeper.current;
      if (kept !== undefined) ends.set(key, kept.notAfterMs);
    }
    return ends;
  }

  /** The mesh trusts these roots now. */
  trust(trustBundle: string): void {
    for (const [workload, { keeper }] of this.#held) {
      try {
        keeper.trust(trustBundle);
      } catch (error) {
        this.#init.log.warn('certificate is under no trusted root, asking for another', {
          workload,
          reason: messageOf(error),
        });
        keeper.renewNow();
      }
    }
  }

  /** A pilot answers again: ask at once for what is missing. */
  retry(): void {
    for (const { keeper } of this.#held.values()) {
      if (keeper.current === undefined || keeper.problem !== undefined) keeper.renewNow();
    }
  }

  close(): void {
    for (const { keeper } of this.#held.values()) keeper.close();
    this.#held.clear();
  }

  #hold(key: string, trustDomain: string, workload: PlacedWorkload): void {
    const { folder, issue, onIdentity, log } = this.#init;
    const { namespace, account } = workload;
    const name = workloadName(trustDomain, namespace, account);
    const file = join(folder, `${namespace}.${workload.workload}.${account}`);
    const keeper = loadOrRenew(file, log, () =>
      createKeyPairKeeper({
        name,
        file,
        issue: (signingRequest, signal) => issue(workload, signingRequest, signal),
        clock: this.#init.clock,
        random: this.#init.random,
        log,
      }),
    );
    this.#held.set(key, { name, file, keeper });
    keeper.subscribe(({ bundle }) => onIdentity(key, bundle));
    keeper.start();
  }
}

export function keyOf(workload: Pick<PlacedWorkload, 'namespace' | 'workload'>): string {
  return `${workload.namespace}/${workload.workload}`;
}

/** A file that cannot be trusted is put away and the identity asked for anew. */
export function loadOrRenew(file: string, log: Log, open: () => KeyPairKeeper): KeyPairKeeper {
  try {
    return open();
  } catch (error) {
    log.error('identity on disk not usable, asking for another', { file, reason: messageOf(error) });
    rmSync(file, { force: true });
    return open();
  }
}
