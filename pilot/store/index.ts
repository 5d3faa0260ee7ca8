/** The stores a pilot can keep its world in. A new one is a file beside and a line here. */
import { registry } from '../../kit/registry.ts';
import type { EmbeddedOptions } from './embedded.ts';
import type { EtcdOptions } from './etcd.ts';
import type { Store } from './store.ts';

export interface StoreOptions {
  readonly embedded?: EmbeddedOptions;
  readonly etcd?: EtcdOptions;
}

export interface StoreKind {
  readonly name: string;
  /** Loads the implementation and opens it with the options of its name. */
  open(options: StoreOptions): Promise<Store>;
}

export const stores: ReadonlyMap<string, StoreKind> = registry('store', [
  {
    name: 'embedded',
    open: async (options) =>
      (await import('./embedded.ts')).openEmbeddedStore(needed('embedded', options.embedded)),
  },
  {
    name: 'etcd',
    open: async (options) => (await import('./etcd.ts')).openEtcdStore(needed('etcd', options.etcd)),
  },
]);

function needed<T>(name: string, options: T | undefined): T {
  if (options === undefined) throw new Error(`store '${name}' without options`);
  return options;
}
