/**
 * Join tokens at rest: a token's secret is never stored, only its SHA-256, and using one deletes it in the
 * same transaction that finds it, so of two who come at once one is refused on whatever pilot.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { CallOptions, Store } from '../store/store.ts';
import { tokenPrefix } from './keys.ts';
import { decode, encode, type FieldTypes } from './records.ts';

export const defaultTokenMs = 10 * 60_000;
export const maxTokenMs = 7 * 24 * 60 * 60_000;

export interface NewToken {
  /** At least 128 bits from a secure source, as text; whoever holds it may join. */
  readonly secret: string;
  /** Only this node may use it; undefined is any. */
  readonly node: string | undefined;
  /** At most `maxTokenMs`. */
  readonly ttlMs: number;
}

export interface JoinTokens {
  /** Remembers a token; answers when it expires, in milliseconds since 1970. */
  create(token: NewToken, options?: CallOptions): Promise<number>;
  /** Uses a token up for `node`. Throws `denied` where it is unknown, used, expired or another node's. */
  consume(secret: string, node: string, options?: CallOptions): Promise<void>;
}

interface TokenValue {
  readonly node?: string;
  readonly expiresMs: number;
}

const tokenFields: FieldTypes = { expiresMs: 'number' };

export function createJoinTokens(store: Store, clock: Clock): JoinTokens {
  return {
    async create({ secret, node, ttlMs }, options) {
      if (!(ttlMs >= 1_000 && ttlMs <= maxTokenMs)) {
        throw new MeshError('invalid', `a token lives from 1 s to ${maxTokenMs / 1_000} s`, {
          origin: 'downstream',
        });
      }
      const key = keyOf(secret);
      const expiresMs = clock.wallMs() + ttlMs;
      const value = encode({ expiresMs, ...(node === undefined ? {} : { node }) } satisfies TokenValue);
      // The lease only cleans up; whether a token still holds is asked of its own hour.
      const lease = await store.grantLease(ttlMs, options);
      const { succeeded } = await store.transact(
        {
          compares: [{ key, revision: 0 }],
          operations: [{ kind: 'put', key, value, lease: lease.id }],
        },
        options,
      );
      if (!succeeded) throw new MeshError('conflict', 'there is such a token already', { origin: 'local' });
      return expiresMs;
    },

    async consume(secret, node, options) {
      const key = keyOf(secret);
      const entry = await store.get(key, options);
      if (entry === undefined) throw denied('the join token is unknown, used or expired');
      const token = decode<TokenValue>(entry.value, tokenFields);
      if (clock.wallMs() >= token.expiresMs) throw denied('the join token is expired');
      if (token.node !== undefined && token.node !== node) {
        throw denied(`the join token is for node ${token.node}, not ${node}`);
      }
      const { succeeded } = await store.transact(
        { compares: [{ key, revision: entry.revision }], operations: [{ kind: 'delete', key }] },
        options,
      );
      if (!succeeded) throw denied('the join token is used');
    },
  };
}

function keyOf(secret: string): string {
  return tokenPrefix + createHash('sha256').update(secret, 'utf8').digest('hex');
}

function denied(message: string): MeshError {
  return new MeshError('denied', message, { origin: 'downstream' });
}
