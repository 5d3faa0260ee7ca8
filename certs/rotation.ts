/**
 * When an authority's roots and issuers follow each other. Pure: state and hour in, the next step out.
 *
 *   root A  created ───────── half ────────────── 5/6 ── A signs no more, its key is deleted ──── dropped
 *   root B                    announced in bundles └─ activated, signs the next issuer
 *
 * A root is announced for longer than a leaf lives before it signs, so everybody has it by then (bundles travel
 * with every renewal); and it stays in the bundle until nothing that it signed can still be valid.
 */
import { MeshError } from '../kit/errors.ts';
import type { CaState, IssuerRecord, RootRecord } from './ca-state.ts';

export interface Lifetimes {
  readonly rootMs: number;
  readonly issuerMs: number;
  readonly leafMs: number;
  /** How long a root stays trusted after its last leaf has ended. */
  readonly graceMs: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

export const defaultLifetimes: Lifetimes = {
  rootMs: 3_650 * dayMs,
  issuerMs: 365 * dayMs,
  leafMs: 72 * hourMs,
  graceMs: 24 * hourMs,
};

/** Leaves below this need `allowShortLifetimes`. */
export const shortLifetimeMs = 60_000;
const minLeafMs = 1_000;

export type RotationStep =
  | { readonly kind: 'create_root' }
  | { readonly kind: 'activate_root'; readonly id: string }
  | { readonly kind: 'drop_root'; readonly id: string }
  | { readonly kind: 'create_issuer'; readonly root: RootRecord; readonly notAfterMs: number }
  | { readonly kind: 'drop_issuer'; readonly id: string };

/** Throws `invalid` where a leaf could outlive what signed it or is too short to renew in time. */
export function checkLifetimes(lifetimes: Lifetimes, options: { readonly allowShort: boolean }): Lifetimes {
  const { rootMs, issuerMs, leafMs, graceMs } = lifetimes;
  const problem = (why: string) =>
    new MeshError('invalid', `certificate lifetimes: ${why}`, { origin: 'local' });
  if (!Object.values(lifetimes).every(Number.isFinite)) throw problem('not a number');
  if (leafMs < shortLifetimeMs && !options.allowShort)
    throw problem(`a leaf of ${leafMs} ms is under a minute; say --allow-short-lifetimes if you mean it`);
  if (leafMs < minLeafMs || graceMs < 0) throw problem(`a leaf of ${leafMs} ms cannot be renewed in time`);
  if (issuerMs < 2 * leafMs)
    throw problem(`an issuer (${issuerMs} ms) must last twice a leaf (${leafMs} ms)`);
  if (rootMs < 6 * leafMs) throw problem(`a root (${rootMs} ms) must last six times a leaf (${leafMs} ms)`);
  return lifetimes;
}

/** What to do next, or undefined where everything is as it must be. Apply, then ask again. */
export function nextStep(state: CaState, lifetimes: Lifetimes, nowMs: number): RotationStep | undefined {
  return rootStep(state, lifetimes, nowMs) ?? issuerStep(state, lifetimes, nowMs);
}

/** The root that signs. */
export function activeRoot(state: CaState): RootRecord | undefined {
  return newest(state.roots.filter(isActivated), (root) => root.activatedMs ?? 0);
}

/** The issuer that signs. */
export function activeIssuer(state: CaState): IssuerRecord | undefined {
  const root = activeRoot(state);
  return newest(
    state.issuers.filter(({ rootId }) => rootId === root?.id),
    ({ createdMs }) => createdMs,
  );
}

function rootStep(state: CaState, lifetimes: Lifetimes, nowMs: number): RotationStep | undefined {
  const active = activeRoot(state);
  const announced = state.roots.find((root) => !isActivated(root));
  if (active === undefined) {
    return announced === undefined ? { kind: 'create_root' } : { kind: 'activate_root', id: announced.id };
  }
  const lifeMs = active.notAfterMs - active.createdMs;
  if (announced === undefined && nowMs >= active.createdMs + lifeMs / 2) return { kind: 'create_root' };
  if (announced !== undefined) {
    const activateMs = Math.max(active.createdMs + (lifeMs * 5) / 6, announced.createdMs + lifetimes.leafMs);
    if (nowMs >= Math.min(activateMs, active.notAfterMs)) return { kind: 'activate_root', id: announced.id };
  }
  const keepUntilMs = (active.activatedMs ?? 0) + lifetimes.leafMs + lifetimes.graceMs;
  const old = state.roots.find(
    (root) => root !== active && isActivated(root) && (nowMs >= keepUntilMs || nowMs >= root.notAfterMs),
  );
  return old && { kind: 'drop_root', id: old.id };
}

function issuerStep(state: CaState, lifetimes: Lifetimes, nowMs: number): RotationStep | undefined {
  const root = activeRoot(state);
  if (root === undefined) return undefined;
  const current = activeIssuer(state);
  // A leaf brings its issuer along, so nobody has to hear of an issuer beforehand, nor to keep an old one.
  const old = state.issuers.find((issuer) => issuer !== current);
  if (old !== undefined) return { kind: 'drop_issuer', id: old.id };
  const notAfterMs = Math.min(nowMs + lifetimes.issuerMs, root.notAfterMs);
  if (current === undefined) return { kind: 'create_issuer', root, notAfterMs };
  const isHalfOver = nowMs >= current.createdMs + (current.notAfterMs - current.createdMs) / 2;
  const wouldLastLonger = notAfterMs > current.notAfterMs;
  return isHalfOver && wouldLastLonger ? { kind: 'create_issuer', root, notAfterMs } : undefined;
}

function isActivated(root: RootRecord): boolean {
  return root.activatedMs !== undefined;
}

function newest<T>(items: readonly T[], timeOf: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>(
    (best, item) => (best === undefined || timeOf(item) >= timeOf(best) ? item : best),
    undefined,
  );
}
