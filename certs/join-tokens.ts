/**
 * Join tokens as the pilot keeps them: the secret's hash, until when, for which node, and whether it was used.
 * A token is consumed before anything is signed: after a crash in between it is gone, never valid twice.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../kit/clock.ts';
import { MeshError } from '../kit/errors.ts';
import { formatJoinToken, parseJoinToken } from './client/join-token.ts';

/** One value per token id, written only by whoever saw the last one. */
export interface TokenStorage {
  load(id: string): Promise<StoredToken | undefined>;
  /**
   * Replaces what stands at `revision` (0: nothing); false, and no change, where something else stands there.
   * The value may be forgotten after `keepUntilMs` (since 1970).
   */
  save(id: string, bytes: Uint8Array, revision: number, keepUntilMs: number): Promise<boolean>;
}

export interface StoredToken {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

export interface NewToken {
  /** The text that the node is given; nobody can show it again. */
  readonly token: string;
  readonly id: string;
  readonly node: string | undefined;
  readonly expiresMs: number;
}

export interface CreateTokenOptions {
  /** The only node that may use it. */
  readonly node?: string | undefined;
  readonly lifetimeMs?: number | undefined;
}

export interface JoinTokens {
  create(rootSha256: Buffer, options?: CreateTokenOptions): Promise<NewToken>;
  /** Uses the token up for `node` and returns its id, or throws `denied` or `invalid` with the reason. */
  consume(token: string, node: string): Promise<string>;
}

/** What is stored, as JSON. */
interface TokenRecord {
  /** SHA-256 of the secret, hexadecimal; 256 random bits need no slow hash. */
  readonly secretSha256: string;
  readonly node: string | undefined;
  readonly expiresMs: number;
  readonly used: { readonly node: string; readonly atMs: number } | undefined;
}

const defaultLifetimeMs = 10 * 60_000;
const maxLifetimeMs = 7 * 24 * 3_600_000;
/** How long after its end a token is still known by name, so that a refusal can say what happened to it. */
const rememberMs = 24 * 3_600_000;
const maxConflicts = 10;

export function createJoinTokens(storage: TokenStorage, clock: Clock): JoinTokens {
  return {
    async create(rootSha256, options = {}) {
      const lifetimeMs = options.lifetimeMs ?? defaultLifetimeMs;
      if (!(lifetimeMs > 0 && lifetimeMs <= maxLifetimeMs)) {
        const why = `a join token lasts at most 7 days, not ${lifetimeMs / 1_000} s`;
        throw new MeshError('invalid', why, { origin: 'downstream' });
      }
      const id = randomBytes(8).toString('base64url');
      const secret = randomBytes(32);
      const expiresMs = clock.wallMs() + lifetimeMs;
      const secretSha256 = sha256(secret).toString('hex');
      const record = { secretSha256, node: options.node, expiresMs, used: undefined };
      const isSaved = await storage.save(id, encode(record), 0, expiresMs + rememberMs);
      if (!isSaved) throw new MeshError('conflict', `join token ${id} exists already`, { origin: 'local' });
      const token = formatJoinToken({ id, secret, rootSha256 });
      return { token, id, node: options.node, expiresMs };
    },

    async consume(token, node) {
      const { id, secret } = parseJoinToken(token);
      for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
        const stored = await storage.load(id);
        const record = stored === undefined ? undefined : decode(stored.bytes);
        const nowMs = clock.wallMs();
        check(id, record, { secret, node, nowMs });
        const used = { ...record, used: { node, atMs: nowMs } };
        const isMine = await storage.save(
          id,
          encode(used),
          stored?.revision ?? 0,
          record.expiresMs + rememberMs,
        );
        if (isMine) return id;
      }
      throw refused(id, 'others keep using it');
    },
  };
}

interface Attempt {
  readonly secret: Buffer;
  readonly node: string;
  readonly nowMs: number;
}

/** Only who knows the secret is told more than that it does not fit. */
function check(id: string, record: TokenRecord | undefined, attempt: Attempt): asserts record is TokenRecord {
  const expected =
    record === undefined ? sha256(attempt.secret).fill(0) : Buffer.from(record.secretSha256, 'hex');
  const isRight = timingSafeEqual(expected, sha256(attempt.secret));
  if (record === undefined || !isRight)
    throw refused(id, 'it is unknown: not of this mesh, or gone long ago');
  if (record.used !== undefined) {
    throw refused(id, `it was used by node '${record.used.node}' at ${iso(record.used.atMs)}`);
  }
  if (attempt.nowMs >= record.expiresMs) throw refused(id, `it ended at ${iso(record.expiresMs)}`);
  if (record.node !== undefined && record.node !== attempt.node) {
    throw refused(id, `it is for node '${record.node}', not '${attempt.node}'`);
  }
}

function encode(record: TokenRecord): Buffer {
  return Buffer.from(JSON.stringify(record), 'utf8');
}

/** Our own writing, so its form is not checked again. */
function decode(bytes: Uint8Array): TokenRecord {
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as TokenRecord;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function refused(id: string, why: string): MeshError {
  return new MeshError('denied', `join token ${id} refused: ${why}; create a new one`, {
    origin: 'downstream',
  });
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
