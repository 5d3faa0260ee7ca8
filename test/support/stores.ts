/** Every store of the registry, ready for a test: what the contract suites loop over. */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { stores } from '../../pilot/store/index.ts';
import type { Store } from '../../pilot/store/store.ts';
import { defer } from './cleanup.ts';
import { type EtcdServer, findEtcd, startEtcd } from './etcd-server.ts';
import { tempFolder } from './temp-folder.ts';

type Scope = Pick<TestContext, 'after'>;

/** One place for data, and the stores opened on it. */
export interface StorePlace {
  /** Opens it; closed with the test. A store with a server can be opened by many at once. */
  open(): Promise<Store>;
  /** The process that keeps the data, where there is one. */
  readonly server: EtcdServer | undefined;
}

export interface StoreSetup {
  readonly name: string;
  /** Why it cannot be tested on this machine. */
  readonly missing: string | undefined;
  place(t: Scope): Promise<StorePlace>;
}

const setups: Record<string, Omit<StoreSetup, 'name'>> = {
  embedded: { missing: undefined, place: placeEmbedded },
  etcd: {
    missing: findEtcd() === undefined ? 'etcd is not installed: apt-get install etcd-server' : undefined,
    place: placeEtcd,
  },
};

export const storeSetups: readonly StoreSetup[] = [...stores.keys()].map((name) => {
  const setup = setups[name];
  if (setup === undefined) throw new Error(`store '${name}' has no setup in test/support/stores.ts`);
  return { name, ...setup };
});

function placeEmbedded(t: Scope): Promise<StorePlace> {
  const path = join(tempFolder(t), 'pilot.db');
  return Promise.resolve({ open: () => opened(t, 'embedded', { embedded: { path } }), server: undefined });
}

async function placeEtcd(t: Scope): Promise<StorePlace> {
  const server = await startEtcd(t);
  return { open: () => opened(t, 'etcd', { etcd: { hosts: [server.url], prefix: 'test/' } }), server };
}

async function opened(t: Scope, name: string, options: Parameters<StoreOpen>[0]): Promise<Store> {
  const kind = stores.get(name);
  if (kind === undefined) throw new Error(`no store '${name}'`);
  const store = await kind.open(options);
  defer(t, () => store.close());
  return store;
}

type StoreOpen = NonNullable<ReturnType<typeof stores.get>>['open'];
