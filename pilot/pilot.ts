/**
 * One pilot, put together: store → authority → live World → distribution and API. What was opened is closed in
 * the reverse order, also where opening fails half-way.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { openAuthority } from '../certs/authority.ts';
import { createKeyPairKeeper } from '../certs/client/key-pair-keeper.ts';
import { createRegistrar } from '../certs/registrar.ts';
import { readSecret } from '../certs/seal.ts';
import { ensurePrivateFolder } from '../kit/atomic-file.ts';
import type { Clock } from '../kit/clock.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import type { Random } from '../kit/random.ts';
import { pilotName } from '../mesh/identity.ts';
import { readOrCreateAccessToken } from './api/access-token.ts';
import { writeClientFile } from './api/client-file.ts';
import { type ApiListen, requirePrivacy, startApi } from './api/server.ts';
import { createBuilder } from './build/build.ts';
import { placed } from './build/placement.ts';
import { PilotCredentials } from './distribute/credentials.ts';
import { createDistributor } from './distribute/distributor.ts';
import { openGrpcPort } from './distribute/grpc-port.ts';
import { addJoinService, addNodeServices } from './distribute/services.ts';
import { type StoreOptions, stores } from './store/index.ts';
import type { Store } from './store/store.ts';
import { createChangeApplier } from './world/apply-changes.ts';
import { createCaStorage, createTokenStorage } from './world/certificate-storage.ts';
import { startHousekeeping } from './world/housekeeping.ts';
import { openLiveWorld } from './world/live-world.ts';
import { createNodeReports } from './world/node-reports.ts';

export interface Address {
  /** A literal address or a host name. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface PilotOptions {
  /** Token, client file, own identity and the embedded store; made where it is missing, mode 0700. */
  readonly dataFolder: string;
  readonly store: { readonly kind: string; readonly options: StoreOptions };
  readonly trustDomain: string;
  /** gRPC for agents that have joined. */
  readonly listen: Address;
  /** gRPC for agents that have not. */
  readonly joinListen: Address;
  readonly api: ApiListen;
  /** `HOST:PORT` told to agents that join; undefined is the host they joined at, with the port of `listen`. */
  readonly advertise: string | undefined;
  readonly secret: SecretSource;
  readonly leafLifetimeMs: number | undefined;
  readonly allowShortLifetimes: boolean;
  /** Begins a new epoch: for a backup that was put back where nobody can notice it. */
  readonly newEpoch?: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Ends a start that waits for the store. */
  readonly signal: AbortSignal;
}

/** What opens the CA's private keys. */
export interface SecretSource {
  readonly path: string;
  readonly source: 'file' | 'credential';
  /** Whether it is made at the first start. */
  readonly mayCreate: boolean;
}

export interface Pilot {
  readonly grpcPort: number;
  readonly joinPort: number;
  readonly apiUrl: string;
  close(): Promise<void>;
}

type Closer = () => void | Promise<void>;

/** Starts a pilot; throws MeshError saying what, which and what to do. */
export async function startPilot(options: PilotOptions): Promise<Pilot> {
  const closers: Closer[] = [];
  const close = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    return { ...(await open(options, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(options: PilotOptions, closers: Closer[]): Promise<Omit<Pilot, 'close'>> {
  const { dataFolder, trustDomain, clock, random, log, signal } = options;
  requirePrivacy(options.api);
  openFolder(dataFolder);
  const store = await openStore(options);
  closers.push(() => store.close());

  const storage = createCaStorage(store);
  const isFirst = (await firstAnswer(options, storage.load())) === undefined;
  const { path, source, mayCreate } = options.secret;
  const whenMissing = isFirst && mayCreate ? 'create' : 'fail';
  const authority = await openAuthority({
    trustDomain,
    storage,
    secret: readSecret(path, { source, whenMissing }),
    clock,
    log,
    ...(options.leafLifetimeMs === undefined ? {} : { lifetimes: { leafMs: options.leafLifetimeMs } }),
    allowShortLifetimes: options.allowShortLifetimes,
  });
  closers.push(() => authority.close());

  const { newEpoch = false } = options;
  const live = await openLiveWorld({ store, trustDomain, newEpoch, clock, random, log, signal });
  closers.push(() => live.close());
  const housekeeping = startHousekeeping({ store, live, clock, log });
  closers.push(() => housekeeping.close());

  // A pilot has its authority at hand: its own identity begins anew with each life.
  const file = join(dataFolder, 'pilot-identity.json');
  rmSync(file, { force: true });
  const keeper = createKeyPairKeeper({
    name: pilotName(trustDomain),
    file,
    issue: (csr) => authority.issuePilot(csr),
    clock,
    random,
    log,
  });
  closers.push(() => keeper.close());
  keeper.start();
  const { bundle } = await keeper.ready(signal);

  const reports = createNodeReports(store, clock);
  const registrar = createRegistrar({
    authority,
    tokens: createTokenStorage(store, clock),
    accountOf: (node, namespace, workload) =>
      placed(live.current, node).find((one) => one.namespace === namespace && one.workload === workload)
        ?.account,
    clock,
    log,
  });
  const distributor = createDistributor({
    world: live,
    // Above every version of an earlier life, which agents may still hold.
    builder: createBuilder({ firstEndpointVersion: Math.floor(clock.wallMs()) }),
    pilot: `${options.listen.host}:${options.listen.port}`,
    trustBundle: authority.trustBundle,
    clock,
    log,
  });
  closers.push(() => distributor.close());

  const credentials = new PilotCredentials(bundle, 'required');
  const joinCredentials = new PilotCredentials(bundle, 'none');
  keeper.subscribe((kept) => {
    credentials.update(kept.bundle);
    joinCredentials.update(kept.bundle);
  });
  authority.onTrustBundle((trustBundle) => {
    distributor.updateTrust(trustBundle);
    keeper.renewNow();
  });

  const grpc = await openGrpcPort(options.listen, credentials, log, (server) =>
    addNodeServices(server, { trustDomain, distributor, reports, registrar, clock, log }),
  );
  closers.push(() => grpc.close());
  const pilotAddress = () => options.advertise ?? `:${grpc.port}`;
  const joining = await openGrpcPort(options.joinListen, joinCredentials, log, (server) =>
    addJoinService(server, { trustDomain, registrar, pilotAddress, log }),
  );
  closers.push(() => joining.close());

  const token = readOrCreateAccessToken(join(dataFolder, 'api-token'));
  const api = await startApi({
    live,
    reports,
    applier: createChangeApplier(store, live, clock),
    tokens: registrar,
    sidecars: distributor,
    store: store.kind,
    token,
    listen: options.api,
    clock,
    log,
  });
  closers.push(() => api.close());
  const { tls } = options.api;
  writeClientFile(dataFolder, { url: api.url, token, ...(tls === undefined ? {} : { ca: tls.cert }) });
  return { grpcPort: grpc.port, joinPort: joining.port, apiUrl: api.url };
}

function openFolder(path: string): void {
  try {
    ensurePrivateFolder(path);
  } catch (cause) {
    const why = `cannot use the data folder ${path}: ${messageOf(cause)}; choose another with --data-dir`;
    throw new MeshError('invalid', why, { origin: 'local', cause });
  }
}

function openStore({ store }: PilotOptions): Promise<Store> {
  const kind = stores.get(store.kind);
  if (kind === undefined) {
    const known = [...stores.keys()].join(', ');
    throw new MeshError('invalid', `there is no store '${store.kind}': choose one of ${known}`, {
      origin: 'local',
    });
  }
  return kind.open(store.options);
}

/** The first call of a store shows whether it is there at all. */
async function firstAnswer<T>({ store }: PilotOptions, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    const isAway =
      cause instanceof MeshError && (cause.code === 'unavailable' || cause.code === 'deadline_exceeded');
    if (!isAway) throw cause;
    const where = store.options.etcd?.hosts.join(', ') ?? store.options.embedded?.path ?? '';
    const why = `the ${store.kind} store at ${where} does not answer: start it or name another (${cause.message})`;
    throw new MeshError('unavailable', why, { origin: 'upstream', cause });
  }
}
