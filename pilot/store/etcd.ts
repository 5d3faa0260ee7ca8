/**
 * The store of several pilots: etcd 3.4 or later, through etcd3's connection pool and generated clients.
 * Its watcher, lease, lock and election classes are not used, for they lose events and hide compaction; the
 * watch is ours (`etcd-watch.ts`), and so is the lease clock. Its fault handling is switched off: a circuit
 * breaker would refuse calls to a server that has come back, a retried transaction could commit twice.
 */
import { isIP } from 'node:net';
import { noop } from 'cockatiel';
import {
  Etcd3,
  type ILeaseKeepAliveResponse,
  type IOptions,
  type IRequestOp,
  type IResponseHeader,
} from 'etcd3';
import { type Clock, systemClock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import { type Random, systemRandom } from '../../kit/random.ts';
import { checkTransaction } from './check.ts';
import { fromEtcd } from './etcd-errors.ts';
import { EtcdWatch, requireLeader } from './etcd-watch.ts';
import {
  type CallOptions,
  defaultDeadlineMs,
  type Entry,
  type Lease,
  type Listing,
  type ListOptions,
  maxValueBytes,
  type Operation,
  type Store,
  type Transaction,
  type TransactionResult,
  type Watch,
  type Watcher,
} from './store.ts';

export interface EtcdOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT`, all of one kind. */
  readonly hosts: readonly string[];
  /** Put before every key, so that several meshes may share an etcd; `heddle/` by default. */
  readonly prefix?: string;
  readonly tls?: EtcdTls;
  readonly auth?: { readonly username: string; readonly password: string };
  readonly clock?: Clock;
  readonly random?: Random;
}

/** PEM. */
export interface EtcdTls {
  readonly ca: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** The name in the servers' certificates; needed where hosts are addresses, which TLS cannot ask for. */
  readonly serverName?: string;
}

/** Keys per page of a list; with values of full size a page just fits `maxResponseBytes`. */
const pageKeys = 64;
const maxResponseBytes = pageKeys * (maxValueBytes + 4096);

const channelOptions = {
  // etcd closes connections that ping more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': maxResponseBytes,
};

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;
/** etcd3 was typed against an older cockatiel; a policy that only calls through is the same in both. */
const noPolicy = noop as unknown as Policy;

export function openEtcdStore(options: EtcdOptions): Promise<Store> {
  return Promise.resolve().then(() => new EtcdStore(options));
}

class EtcdStore implements Store {
  readonly kind = 'etcd';
  readonly #client: Etcd3;
  readonly #prefix: string;
  readonly #hostCount: number;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watches = new Set<EtcdWatch>();
  #isClosed = false;

  constructor(options: EtcdOptions) {
    const serverName = options.tls?.serverName;
    if (options.tls !== undefined && serverName === undefined) refuseAddresses(options.hosts);
    this.#prefix = options.prefix ?? 'heddle/';
    this.#hostCount = options.hosts.length;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#client = new Etcd3({
      hosts: [...options.hosts],
      faultHandling: { host: () => noPolicy, global: noPolicy },
      grpcOptions: {
        ...channelOptions,
        ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
      },
      defaultCallOptions: (context) =>
        context.isStream ? {} : { deadline: this.#deadline(defaultDeadlineMs) },
      ...(options.auth === undefined ? {} : { auth: { ...options.auth } }),
      ...(options.tls === undefined ? {} : { credentials: credentialsOf(options.tls) }),
    });
  }

  async identity(options?: CallOptions): Promise<string> {
    return (await this.#head(options)).cluster;
  }

  async get(key: string, options?: CallOptions): Promise<Entry | undefined> {
    const response = await this.#read('get', options, (deadline) =>
      this.#client.kv.range({ key: this.#bytes(key) }, { deadline }),
    );
    const found = response.kvs[0];
    return found && { key, value: found.value, revision: Number(found.mod_revision) };
  }

  async list(prefix: string, options?: ListOptions): Promise<Listing> {
    const entries: Entry[] = [];
    const { key: first, range_end } = this.#range(prefix);
    let revision = options?.atRevision;
    for (let key = first; ; ) {
      const response = await this.#read('list', options, (deadline) =>
        this.#client.kv.range(
          { key, range_end, limit: pageKeys, ...(revision === undefined ? {} : { revision }) },
          { deadline },
        ),
      );
      revision ??= Number(response.header.revision);
      for (const kv of response.kvs) {
        entries.push({ key: this.#keyOf(kv.key), value: kv.value, revision: Number(kv.mod_revision) });
      }
      const last = response.kvs.at(-1);
      if (!response.more || last === undefined) return { revision, entries };
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  async transact(transaction: Transaction, options?: CallOptions): Promise<TransactionResult> {
    checkTransaction(transaction);
    const compare = (transaction.compares ?? []).map(({ key, revision }) => ({
      key: this.#bytes(key),
      target: 'Mod' as const,
      result: 'Equal' as const,
      mod_revision: String(revision),
    }));
    const success = transaction.operations.map((operation) => this.#request(operation));
    const response = await this.#call('transaction', options, (deadline) =>
      this.#client.kv.txn({ compare, success }, { deadline }),
    );
    return { succeeded: response.succeeded, revision: Number(response.header.revision) };
  }

  watch(prefix: string, fromRevision: number, watcher: Watcher): Watch {
    if (this.#isClosed) throw closed();
    const watch: EtcdWatch = new EtcdWatch({
      range: this.#range(prefix),
      fromRevision,
      watcher,
      clock: this.#clock,
      random: this.#random,
      createDeadlineMs: defaultDeadlineMs,
      open: () => this.#client.watchClient.watch({ interceptors: [requireLeader] }),
      head: () => this.#head(),
      keyOf: (key) => this.#keyOf(key),
      onClose: () => void this.#watches.delete(watch),
    });
    this.#watches.add(watch);
    return watch;
  }

  async grantLease(ttlMs: number, options?: CallOptions): Promise<Lease> {
    let sentAtMs = this.#clock.nowMs();
    const response = await this.#call('lease grant', options, (deadline) =>
      this.#client.leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1_000) }, { deadline }),
    );
    const id = response.ID;
    let validUntilMs = sentAtMs + Number(response.TTL) * 1_000;
    return {
      id,
      get validUntilMs() {
        return validUntilMs;
      },
      keepAlive: async (call) => {
        sentAtMs = this.#clock.nowMs();
        const ttlSeconds = Number((await this.#keepAlive(id, call)).TTL);
        if (ttlSeconds <= 0) throw new MeshError('not_found', `lease ${id} is over`, { origin: 'upstream' });
        validUntilMs = sentAtMs + ttlSeconds * 1_000;
      },
      revoke: async (call) => {
        try {
          await this.#call('lease revoke', call, (deadline) =>
            this.#client.leaseClient.leaseRevoke({ ID: id }, { deadline }),
          );
        } catch (thrown) {
          if (!(thrown instanceof MeshError && thrown.code === 'not_found')) throw thrown;
        }
      },
    };
  }

  async compact(revision: number, options?: CallOptions): Promise<void> {
    try {
      await this.#call('compact', options, (deadline) =>
        this.#client.kv.compact({ revision: String(revision) }, { deadline }),
      );
    } catch (thrown) {
      // Another pilot was there before.
      if (!(thrown instanceof MeshError && thrown.code === 'compacted')) throw thrown;
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const watch of [...this.#watches]) watch.close();
    this.#client.close();
    return Promise.resolve();
  }

  /** One renewal over a stream of its own: no shared stream whose break would end every lease at once. */
  #keepAlive(id: string, options?: CallOptions): Promise<ILeaseKeepAliveResponse> {
    return this.#call('lease renewal', options, async (deadline) => {
      const stream = await this.#client.leaseClient.leaseKeepAlive({ deadline });
      const answer = new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('ended without an answer')));
        stream.on('data', resolve);
      });
      stream.write({ ID: id });
      try {
        return await answer;
      } finally {
        stream.end();
      }
    });
  }

  async #head(options?: CallOptions): Promise<{ revision: number; cluster: string }> {
    const key = this.#bytes('');
    const { header } = await this.#read<{ header: IResponseHeader }>('status', options, (deadline) =>
      this.#client.kv.range({ key, count_only: true }, { deadline }),
    );
    return { revision: Number(header.revision), cluster: header.cluster_id };
  }

  /** A read that finds a host away is tried on others, within the same deadline. */
  async #read<T>(
    what: string,
    options: CallOptions | undefined,
    send: (deadline: number) => Promise<T>,
  ): Promise<T> {
    return await this.#call(what, options, async (deadline) => {
      for (let triesLeft = this.#hostCount - 1; ; triesLeft--) {
        try {
          return await send(deadline);
        } catch (thrown) {
          if (triesLeft <= 0 || fromEtcd(what, thrown).code !== 'unavailable') throw thrown;
        }
      }
    });
  }

  async #call<T>(
    what: string,
    options: CallOptions | undefined,
    send: (deadline: number) => Promise<T>,
  ): Promise<T> {
    options?.signal?.throwIfAborted();
    if (this.#isClosed) throw closed();
    const deadlineMs = options?.deadlineMs ?? defaultDeadlineMs;
    const sent = send(this.#deadline(deadlineMs)).catch((thrown: unknown) => {
      throw fromEtcd(what, thrown);
    });
    return await this.#bounded(what, sent, deadlineMs, options?.signal);
  }

  /** Our own timer beside gRPC's, for what happens before a call is on its way (authentication, a name). */
  #bounded<T>(what: string, sent: Promise<T>, deadlineMs: number, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal?.reason);
      const timer = this.#clock.after(deadlineMs, () =>
        reject(
          new MeshError('deadline_exceeded', `etcd ${what}: no answer within ${deadlineMs} ms`, {
            origin: 'upstream',
          }),
        ),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      sent.then(resolve, reject).finally(() => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      });
    });
  }

  #request(operation: Operation): IRequestOp {
    if (operation.kind === 'put') {
      return {
        request_put: {
          key: this.#bytes(operation.key),
          value: Buffer.from(operation.value),
          ...(operation.lease === undefined ? {} : { lease: operation.lease }),
        },
      };
    }
    if (operation.kind === 'delete') return { request_delete_range: { key: this.#bytes(operation.key) } };
    return { request_delete_range: this.#range(operation.prefix) };
  }

  #range(prefix: string): { key: Buffer; range_end: Buffer } {
    const key = this.#bytes(prefix);
    return key.length === 0
      ? { key: Buffer.from([0]), range_end: Buffer.from([0]) }
      : { key, range_end: endOf(key) };
  }

  #bytes(key: string): Buffer {
    return Buffer.from(this.#prefix + key, 'utf8');
  }

  #keyOf(key: Buffer): string {
    return key.toString('utf8').slice(this.#prefix.length);
  }

  #deadline(deadlineMs: number): number {
    return this.#clock.wallMs() + deadlineMs;
  }
}

/** Node refuses an address as the name of a TLS server, and gRPC would ask for it again and again. */
function refuseAddresses(hosts: readonly string[]): void {
  const address = hosts.find((host) => isIP(URL.parse(host)?.hostname.replace(/^\[|\]$/g, '') ?? '') !== 0);
  if (address === undefined) return;
  throw new MeshError(
    'invalid',
    `etcd at ${address} over TLS: name it, or give the name in its certificate`,
    {
      origin: 'local',
    },
  );
}

function credentialsOf(tls: EtcdTls) {
  return {
    rootCertificate: tls.ca,
    ...(tls.key === undefined ? {} : { privateKey: tls.key }),
    ...(tls.cert === undefined ? {} : { certChain: tls.cert }),
  };
}

/** The first key after everything that begins with `prefix`: its last byte raised by one. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let at = end.length - 1; at >= 0; at--) {
    const byte = end[at] ?? 0;
    if (byte < 0xff) {
      end[at] = byte + 1;
      return end.subarray(0, at + 1);
    }
  }
  return Buffer.from([0]);
}

function closed(): MeshError {
  return new MeshError('unavailable', 'the store is closed', { origin: 'local' });
}
