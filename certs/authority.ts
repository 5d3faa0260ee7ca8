/**
 * The certificate authority of one trust domain: root → issuer → leaf. It decides how a certificate looks and for
 * how long it holds; who gets one is decided before (`registrar.ts`), except that a workload must be placed on the
 * node that asks. Several pilots may run it on one storage: whoever loses a race takes over what the other wrote.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../kit/clock.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import { isTrustDomain, nodeName, parseIdentity, pilotName, workloadName } from '../mesh/identity.ts';
import type { IssuedCertificate } from '../proto/certificates-wire.ts';
import { type CaState, type CaStorage, decodeCaState, encodeCaState, type RootRecord } from './ca-state.ts';
import { createKeyClaims } from './key-claims.ts';
import { createIntermediate, createRoot, type Signer, signLeaf } from './profile.ts';
import {
  activeIssuer,
  activeRoot,
  checkLifetimes,
  defaultLifetimes,
  type Lifetimes,
  nextStep,
  type RotationStep,
} from './rotation.ts';
import { createSealer, type Sealer } from './seal.ts';
import { readSigningRequest } from './signing-request.ts';

export interface AuthorityOptions {
  readonly trustDomain: string;
  readonly storage: CaStorage;
  /** Opens the private keys; see `readSecret`. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  readonly lifetimes?: Partial<Lifetimes>;
  readonly allowShortLifetimes?: boolean;
}

export interface WorkloadRequest {
  readonly node: string;
  readonly namespace: string;
  readonly account: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  /** Whether the pilot has placed a workload of that account on that node. */
  readonly isPlaced: (node: string, namespace: string, account: string) => boolean;
}

export interface NodeRequest {
  readonly node: string;
  readonly csr: Uint8Array;
  /** Why it is issued, for the audit log: `token ID` or `renewal`. */
  readonly because: string;
}

export interface CertificateAuthority {
  readonly trustDomain: string;
  /** PEM: roots that sign, that will sign, and that have signed what may still be valid. */
  readonly trustBundle: string;
  /** SHA-256 of the root that signs, for join tokens. */
  readonly rootSha256: Buffer;
  issueWorkload(request: WorkloadRequest): Promise<IssuedCertificate>;
  issueNode(request: NodeRequest): Promise<IssuedCertificate>;
  /** For a pilot's own listeners; its chain ends with the root, so that joining nodes can compare it. */
  issuePilot(csr: Uint8Array): Promise<IssuedCertificate>;
  /** Calls `listener` with each new trust bundle. Returns how to stop. */
  onTrustBundle(listener: (trustBundle: string) => void): () => void;
  /** Takes over what another pilot wrote and does what is due; also done by itself again and again. */
  refresh(): Promise<void>;
  close(): void;
}

const maxRefreshMs = 60_000;
/** A rotation takes at most: create, activate, drop a root; create and drop an issuer; each tried again once. */
const maxSteps = 16;
const maxConflicts = 10;

/** Loads the authority, or makes it where there is none. Throws `invalid` where the secret is another. */
export async function openAuthority(options: AuthorityOptions): Promise<CertificateAuthority> {
  const { trustDomain, clock, log } = options;
  if (!isTrustDomain(trustDomain)) throw invalid(`'${trustDomain}' is no trust domain`);
  const allowShort = options.allowShortLifetimes ?? false;
  const lifetimes = checkLifetimes({ ...defaultLifetimes, ...options.lifetimes }, { allowShort });
  const listeners = new Set<(trustBundle: string) => void>();
  let held = await bringUpToDate(options, lifetimes, undefined);
  const keys = createKeyClaims();
  let refreshing: Promise<void> | undefined;

  async function refreshNow(): Promise<void> {
    const before = held.trustBundle;
    held = await bringUpToDate(options, lifetimes, held);
    if (held.trustBundle !== before) for (const listener of listeners) listener(held.trustBundle);
  }

  function refresh(): Promise<void> {
    refreshing ??= refreshNow().finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  const timer = clock.every(Math.min(maxRefreshMs, lifetimes.leafMs / 4), () => {
    refresh().catch((cause) => log.error('CA could not refresh its state', { error: messageOf(cause) }));
  });

  async function issue(name: string, csr: Uint8Array, fields: Readonly<Record<string, string>>) {
    const key = readSigningRequest(csr);
    keys.claim(key.fingerprint, name);
    const { issuer, chain, trustBundle } = held;
    const nowMs = clock.wallMs();
    const notAfterMs = Math.min(nowMs + lifetimes.leafMs, issuer.notAfterMs);
    if (notAfterMs <= nowMs) {
      const why = `the CA's issuer ended at ${new Date(issuer.notAfterMs).toISOString()}`;
      throw new MeshError('unavailable', why, { origin: 'local', retry: 'always' });
    }
    const leaf = await signLeaf(name, key.publicKey, issuer, { nowMs, notAfterMs });
    const notAfter = new Date(leaf.notAfterMs).toISOString();
    log.info('certificate issued', { name, serial: leaf.serial, notAfter, key: key.fingerprint, ...fields });
    const certificateChain = `${leaf.certificate}${chain}`;
    return { certificateChain, trustBundle, issuedMs: nowMs, notAfterMs: leaf.notAfterMs };
  }

  return {
    trustDomain,
    get trustBundle() {
      return held.trustBundle;
    },
    get rootSha256() {
      return Buffer.from(held.root.id, 'hex');
    },
    async issueWorkload({ node, namespace, account, csr, isPlaced }) {
      const name = workloadName(trustDomain, namespace, account);
      if (parseIdentity(name)?.kind !== 'workload') throw invalid(`'${name}' is no name of a workload`);
      if (name === pilotName(trustDomain)) throw denied(node, name, 'that name is the pilot’s own');
      if (!isPlaced(node, namespace, account)) throw denied(node, name, 'it is not placed there');
      return issue(name, csr, { node });
    },
    async issueNode({ node, csr, because }) {
      const name = nodeName(trustDomain, node);
      if (parseIdentity(name)?.kind !== 'node') throw invalid(`'${name}' is no name of a node`);
      return issue(name, csr, { because });
    },
    async issuePilot(csr) {
      const issued = await issue(pilotName(trustDomain), csr, { because: 'pilot' });
      return { ...issued, certificateChain: `${issued.certificateChain}${held.root.certificate}` };
    },
    onTrustBundle(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    refresh,
    close: () => timer.cancel(),
  };
}

/** The state with what issuing needs at hand. */
interface Held {
  readonly revision: number;
  readonly state: CaState;
  readonly sealer: Sealer;
  readonly root: RootRecord;
  readonly issuer: Signer & { readonly notAfterMs: number };
  /** PEM: what follows the leaf. */
  readonly chain: string;
  readonly trustBundle: string;
}

async function bringUpToDate(
  options: AuthorityOptions,
  lifetimes: Lifetimes,
  before: Held | undefined,
): Promise<Held> {
  for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
    const held = await tryBringUpToDate(options, lifetimes, before);
    if (held !== undefined) return held;
  }
  throw new MeshError('conflict', 'other pilots keep changing the CA', { origin: 'local', retry: 'always' });
}

/** Undefined where another pilot wrote at the same time. */
async function tryBringUpToDate(
  options: AuthorityOptions,
  lifetimes: Lifetimes,
  before: Held | undefined,
): Promise<Held | undefined> {
  const { storage, clock, secret } = options;
  const stored = await storage.load();
  const isUnchanged = before !== undefined && stored?.revision === before.revision;
  if (isUnchanged && nextStep(before.state, lifetimes, clock.wallMs()) === undefined) return before;

  const old = stored && decodeState(stored.bytes, options.trustDomain);
  const isSameSalt = before !== undefined && before.sealer.salt === old?.salt;
  const sealer = isSameSalt ? before.sealer : createSealer(secret, old?.salt);
  const empty = { trustDomain: options.trustDomain, salt: sealer.salt, roots: [], issuers: [] };
  const state = await rotate(old ?? empty, sealer, options, lifetimes);
  if (stored !== undefined && state === old) return hold(state, sealer, stored.revision);

  const isSaved = await storage.save(encodeCaState(state), stored?.revision ?? 0);
  const saved = isSaved ? await storage.load() : undefined;
  return saved && hold(decodeState(saved.bytes, options.trustDomain), sealer, saved.revision);
}

function decodeState(bytes: Uint8Array, trustDomain: string): CaState {
  const state = decodeCaState(bytes);
  if (state.trustDomain === trustDomain) return state;
  throw invalid(`the stored CA is of trust domain '${state.trustDomain}', not '${trustDomain}'`);
}

async function rotate(
  old: CaState,
  sealer: Sealer,
  options: AuthorityOptions,
  lifetimes: Lifetimes,
): Promise<CaState> {
  let state = old;
  for (let steps = 0; steps < maxSteps; steps++) {
    const nowMs = options.clock.wallMs();
    const step = nextStep(state, lifetimes, nowMs);
    if (step === undefined) return state;
    state = await apply(state, step, { sealer, nowMs, lifetimes });
    options.log.info('CA rotation', { step: step.kind });
  }
  throw new Error('CA rotation comes to no end');
}

interface ApplyContext {
  readonly sealer: Sealer;
  readonly nowMs: number;
  readonly lifetimes: Lifetimes;
}

async function apply(state: CaState, step: RotationStep, context: ApplyContext): Promise<CaState> {
  const { sealer, nowMs, lifetimes } = context;
  switch (step.kind) {
    case 'create_root': {
      const notAfterMs = nowMs + lifetimes.rootMs;
      const { certificate, privateKey } = await createRoot(state.trustDomain, { nowMs, notAfterMs });
      const record = recordOf(certificate, privateKey, sealer);
      const root = { ...record, createdMs: nowMs, activatedMs: undefined };
      return { ...state, roots: [...state.roots, root] };
    }
    case 'activate_root':
      return {
        ...state,
        roots: state.roots.map((root) =>
          root.id === step.id ? { ...root, activatedMs: nowMs } : { ...root, key: undefined },
        ),
      };
    case 'drop_root':
      return { ...state, roots: state.roots.filter(({ id }) => id !== step.id) };
    case 'create_issuer': {
      const { root, notAfterMs } = step;
      const signer = signerOf(root, sealer);
      const { certificate, privateKey } = await createIntermediate(state.trustDomain, signer, {
        nowMs,
        notAfterMs,
      });
      const record = recordOf(certificate, privateKey, sealer);
      return {
        ...state,
        issuers: [...state.issuers, { ...record, rootId: root.id, createdMs: nowMs }],
      };
    }
    case 'drop_issuer':
      return { ...state, issuers: state.issuers.filter(({ id }) => id !== step.id) };
  }
}

function hold(state: CaState, sealer: Sealer, revision: number): Held {
  const root = activeRoot(state);
  const issuer = activeIssuer(state);
  if (root === undefined || issuer === undefined) throw invalid('the stored CA has no root or no issuer');
  return {
    revision,
    state,
    sealer,
    root,
    issuer: { ...signerOf(issuer, sealer), notAfterMs: issuer.notAfterMs },
    chain: issuer.certificate,
    trustBundle: state.roots.map(({ certificate }) => certificate).join(''),
  };
}

function recordOf(certificate: string, privateKey: string, sealer: Sealer) {
  const parsed = new X509Certificate(certificate);
  const id = parsed.fingerprint256.replaceAll(':', '').toLowerCase();
  return { id, certificate, key: sealer.seal(privateKey, id), notAfterMs: parsed.validToDate.getTime() };
}

function signerOf(
  record: { id: string; certificate: string; key: string | undefined },
  sealer: Sealer,
): Signer {
  if (record.key === undefined) throw invalid(`the key of CA certificate ${record.id} was deleted`);
  return { certificate: record.certificate, privateKey: sealer.open(record.key, record.id) };
}

function denied(node: string, name: string, why: string): MeshError {
  return new MeshError('denied', `node '${node}' gets no certificate for ${name}: ${why}`, {
    origin: 'downstream',
  });
}

function invalid(why: string): MeshError {
  return new MeshError('invalid', why, { origin: 'local' });
}
