/**
 * Keeps one identity fresh: loads it from disk at a cold start, asks for a new certificate at half its life with a
 * key of its own, writes it down and tells the subscribers. While the pilot does not answer, the valid one stays.
 *
 *   empty ──adopt or issue──▶ fresh ──half-life──▶ renewing ──issued──▶ fresh
 *                                        ▲            │ failed
 *                                        └── backoff ─┘   (0.5 s → 150 s, less where little is left)
 */
import { createBackoff } from '../../kit/backoff.ts';
import type { Clock, Timer } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import { parseIdentity } from '../../mesh/identity.ts';
import { readSvid } from '../../mesh/svid.ts';
import type { IssuedCertificate } from '../../proto/certificates-wire.ts';
import { checkIssued, readCertificates } from './check-issued.ts';
import { type KeptIdentity, loadIdentity, saveIdentity } from './identity-file.ts';
import { createKeyPair, type KeyPair } from './key-pair.ts';
import { renewalTimeMs, shareLeft } from './renewal.ts';

export interface KeeperOptions {
  /** The SPIFFE name that every certificate must carry. */
  readonly name: string;
  /** Where it is kept, mode 0600. */
  readonly file: string;
  /** Asks the pilot; the signal aborts after 30 s and at `close`. */
  readonly issue: (signingRequest: Buffer, signal: AbortSignal) => Promise<IssuedCertificate>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface KeyPairKeeper {
  /** What to show to peers; undefined before the first certificate, and again once it ended. */
  readonly current: KeptIdentity | undefined;
  /** Why the last attempt to renew failed; undefined after one that did not. */
  readonly problem: string | undefined;
  /** Begins: renews now where there is nothing valid or half of it is over, else at its time. */
  start(): void;
  /** Takes what was issued by other means (a join) for a key pair of ours. */
  adopt(pair: KeyPair, issued: IssuedCertificate): void;
  /** Takes new roots that came apart from a certificate. Throws `invalid` where ours is under none of them. */
  trust(trustBundle: string): void;
  /** Asks for a new certificate now, for instance when the pilot is back. */
  renewNow(): void;
  /** Calls `listener` with every new identity, at once with the current one if there is one. Returns how to stop. */
  subscribe(listener: (kept: KeptIdentity) => void): () => void;
  /** Resolves with the first valid identity; rejects with the signal's reason. */
  ready(signal?: AbortSignal): Promise<KeptIdentity>;
  close(): void;
}

/** Looks at the hour at least this often, so that a jump of the wall clock or a sleeping host is noticed. */
const maxSleepMs = 60_000;
const issueTimeoutMs = 30_000;
const retry = { baseMs: 500, maxMs: 150_000, jitter: 0.1 } as const;
/** Where certificates live for seconds, it does not pause for minutes. */
const attemptsInLife = 10;
/** With little life left it asks that often before the end, whatever the backoff says. */
const attemptsInRest = 5;
/** Shares of its life at which a failing renewal becomes a warning of its own. */
const alarms = [0.5, 0.25, 0.1] as const;

/** Loads the file at once; throws `invalid` where it cannot be trusted. */
export function createKeyPairKeeper(options: KeeperOptions): KeyPairKeeper {
  const { name, file, clock, random, log } = options;
  const trustDomain = trustDomainOf(name);
  const backoff = createBackoff(retry, random);
  const listeners = new Set<(kept: KeptIdentity) => void>();
  let kept = loadFor(name, file);
  let renewAtMs = kept === undefined ? 0 : renewalTimeMs(kept, random);
  let state: 'idle' | 'waiting' | 'renewing' | 'closed' = 'idle';
  let problem: string | undefined;
  let lastAlarm = 1;
  let timer: Timer | undefined;
  let abort: AbortController | undefined;

  function current(): KeptIdentity | undefined {
    return kept !== undefined && clock.wallMs() < kept.notAfterMs ? kept : undefined;
  }

  function take(pair: KeyPair, issued: IssuedCertificate): void {
    const { privateKey } = pair;
    checkIssued(issued, { name, trustDomain, privateKey, nowMs: clock.wallMs() });
    const { certificateChain, trustBundle, issuedMs, notAfterMs } = issued;
    kept = { bundle: { privateKey, certificateChain, trustBundle }, issuedMs, notAfterMs };
    renewAtMs = renewalTimeMs(kept, random);
    problem = undefined;
    lastAlarm = 1;
    backoff.reset();
    log.info('certificate renewed', { name, notAfter: new Date(notAfterMs).toISOString() });
    publish(kept);
  }

  function publish(identity: KeptIdentity): void {
    save(identity);
    for (const listener of [...listeners]) tell(listener, identity);
  }

  /** A full disk is no reason to refuse a good certificate; the next start then finds the older one. */
  function save(identity: KeptIdentity): void {
    try {
      saveIdentity(file, identity);
    } catch (cause) {
      log.error('certificate could not be written to disk', { name, file, error: messageOf(cause) });
    }
  }

  function tell(listener: (identity: KeptIdentity) => void, identity: KeptIdentity): void {
    try {
      listener(identity);
    } catch (cause) {
      log.error('a subscriber failed on a new certificate', { name, error: messageOf(cause) });
    }
  }

  function wait(delayMs: number): void {
    if (state === 'closed') return;
    state = 'waiting';
    timer?.cancel();
    timer = clock.after(Math.min(Math.max(delayMs, 0), maxSleepMs), wake);
  }

  function wake(): void {
    const leftMs = renewAtMs - clock.wallMs();
    if (leftMs > 0) wait(leftMs);
    else void renew();
  }

  async function renew(): Promise<void> {
    if (state === 'renewing' || state === 'closed') return;
    timer?.cancel();
    state = 'renewing';
    try {
      const pair = createKeyPair();
      const issued = await issue(pair.signingRequest);
      if (isClosed()) return;
      take(pair, issued);
    } catch (cause) {
      if (isClosed()) return;
      renewAtMs = clock.wallMs() + failed(cause);
    }
    wait(renewAtMs - clock.wallMs());
  }

  function isClosed(): boolean {
    return state === 'closed';
  }

  async function issue(signingRequest: Buffer): Promise<IssuedCertificate> {
    const controller = new AbortController();
    abort = controller;
    const deadline = clock.after(issueTimeoutMs, () => controller.abort(tooLate()));
    const aborted = new Promise<never>((_, reject) => {
      controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
    });
    try {
      return await Promise.race([options.issue(signingRequest, controller.signal), aborted]);
    } finally {
      deadline.cancel();
      abort = undefined;
    }
  }

  /** Returns how long to wait. */
  function failed(cause: unknown): number {
    problem = messageOf(cause);
    const lifeMs = kept === undefined ? Number.POSITIVE_INFINITY : kept.notAfterMs - kept.issuedMs;
    const delayMs = Math.min(backoff.nextMs(), Math.max(retry.baseMs, lifeMs / attemptsInLife));
    const identity = current();
    if (identity === undefined) {
      log.error('no valid certificate, and none to be had', { name, reason: problem });
      return delayMs;
    }
    const nowMs = clock.wallMs();
    const left = shareLeft(identity, nowMs);
    const alarm = alarms.findLast((share) => left <= share) ?? 1;
    const fields = { name, reason: problem, notAfter: new Date(identity.notAfterMs).toISOString() };
    if (alarm < lastAlarm) log.warn('certificate is not renewed and will end', fields);
    else log.info('certificate not renewed yet', fields);
    lastAlarm = alarm;
    return Math.min(delayMs, Math.max(retry.baseMs, (identity.notAfterMs - nowMs) / attemptsInRest));
  }

  return {
    get current() {
      return current();
    },
    get problem() {
      return problem;
    },
    start() {
      if (state === 'idle') wake();
    },
    adopt(pair, issued) {
      take(pair, issued);
      if (state === 'waiting') wake();
    },
    trust(trustBundle) {
      if (kept === undefined || kept.bundle.trustBundle === trustBundle) return;
      const { privateKey, certificateChain } = kept.bundle;
      const { issuedMs, notAfterMs } = kept;
      const answer = { certificateChain, trustBundle, issuedMs, notAfterMs };
      checkIssued(answer, { name, trustDomain, privateKey, nowMs: clock.wallMs() });
      kept = { ...kept, bundle: { ...kept.bundle, trustBundle } };
      publish(kept);
    },
    renewNow() {
      if (state === 'waiting') void renew();
    },
    subscribe(listener) {
      listeners.add(listener);
      const identity = current();
      if (identity !== undefined) tell(listener, identity);
      return () => listeners.delete(listener);
    },
    ready(signal) {
      const identity = current();
      if (identity !== undefined) return Promise.resolve(identity);
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          listeners.delete(onIdentity);
          reject(signal?.reason);
        };
        const onIdentity = (fresh: KeptIdentity) => {
          listeners.delete(onIdentity);
          signal?.removeEventListener('abort', onAbort);
          resolve(fresh);
        };
        if (signal?.aborted) return reject(signal.reason);
        listeners.add(onIdentity);
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    close() {
      state = 'closed';
      timer?.cancel();
      listeners.clear();
      abort?.abort(new MeshError('unavailable', 'closing', { origin: 'local' }));
    },
  };
}

/** What is on disk for `name`; another's identity there is a mistake of whoever chose the file. */
function loadFor(name: string, file: string): KeptIdentity | undefined {
  const kept = loadIdentity(file);
  const [leaf] = kept === undefined ? [] : readCertificates(kept.bundle.certificateChain);
  if (kept === undefined || (leaf !== undefined && readSvid(leaf.raw).name === name)) return kept;
  throw new MeshError('invalid', `identity file ${file} is not for ${name}`, { origin: 'local' });
}

function trustDomainOf(name: string): string {
  const identity = parseIdentity(name);
  if (identity !== undefined) return identity.trustDomain;
  throw new MeshError('invalid', `'${name}' is no identity`, { origin: 'local' });
}

function tooLate(): MeshError {
  const why = `no answer within ${issueTimeoutMs} ms`;
  return new MeshError('deadline_exceeded', why, { origin: 'upstream', retry: 'always' });
}
