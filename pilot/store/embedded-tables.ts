/**
 * The one file of the embedded store: every version of every key, as etcd keeps them, so that reading at a
 * revision, watching from one and compaction mean the same in both stores.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, statSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Entry, StoreEvent } from './store.ts';

/** Raised when the tables change shape; a file of another format is refused. */
const format = 1;
/** SQLite's own code for a file that another connection holds. */
const busyCodes: readonly number[] = [5, 261, 517];

export interface LeaseRow {
  readonly id: string;
  readonly ttlMs: number;
}

/** The columns that our statements ask for; each asks for some of them. */
interface Row {
  readonly id: string;
  readonly key: string;
  readonly revision: number;
  readonly value: Uint8Array | null;
  readonly ttl_ms: number;
}

export interface VersionRow {
  readonly key: string;
  readonly revision: number;
  /** Null is a deletion. */
  readonly value: Uint8Array | null;
  readonly lease: string | null;
}

/**
 * The tables of the file at `path`, made where missing and held alone: WAL for writers that do not wait for
 * readers, EXCLUSIVE so that a second pilot is refused, FULL so that what was answered survives a power cut.
 * Throws `conflict` where another process has it, `unavailable` where it cannot be opened.
 */
export function openTables(path: string): EmbeddedTables {
  let db: DatabaseSync | undefined;
  try {
    // SQLite would make it readable for everybody; its journal gets the same mode.
    closeSync(openSync(path, 'a', 0o600));
    db = new DatabaseSync(path, { timeout: 0 });
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec(schema);
    return new EmbeddedTables(db, path);
  } catch (thrown) {
    db?.close();
    if (thrown instanceof MeshError) throw thrown;
    throw openFailure(path, thrown);
  }
}

function openFailure(path: string, thrown: unknown): MeshError {
  const code = (thrown as { errcode?: number }).errcode;
  if (code !== undefined && busyCodes.includes(code)) {
    const why = `store file ${path} is in use by another pilot: stop that one, or choose another --data-dir`;
    return new MeshError('conflict', why, { origin: 'local' });
  }
  return new MeshError('unavailable', `store file ${path} cannot be opened: ${messageOf(thrown)}`, {
    origin: 'local',
    cause: thrown,
  });
}

const schema = `
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB, lease TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS versions_by_key ON versions (key, revision);
CREATE INDEX IF NOT EXISTS versions_by_revision ON versions (revision, id);
CREATE TABLE IF NOT EXISTS leases (id TEXT PRIMARY KEY, ttl_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
COMMIT;`;

const noBytes = new Uint8Array();

/** The newest version of a key that is not later than a revision. */
const newestAt = 'revision = (SELECT max(revision) FROM versions w WHERE w.key = v.key AND w.revision <= ?)';

export class EmbeddedTables {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, ReturnType<DatabaseSync['prepare']>>();
  readonly identity: string;
  revision: number;
  compacted: number;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    const known = this.#meta('format');
    if (known === undefined) this.#setMeta('format', format);
    else if (known !== format) {
      throw new MeshError(
        'unavailable',
        `store file ${path} has format ${known}, this pilot reads ${format}`,
        {
          origin: 'local',
        },
      );
    }
    if (this.#meta('id') === undefined) this.#setMeta('id', randomUUID());
    // A copy has an inode and a birth of its own, so a backup put back is told from the file that was lost.
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    this.identity = `${String(this.#meta('id'))}:${dev}:${ino}:${birthtimeNs}`;
    this.revision = Number(this.#meta('revision') ?? 0);
    this.compacted = Number(this.#meta('compacted') ?? 0);
  }

  /** Runs `work` as one durable step; whatever it throws undoes it. */
  atomically<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (thrown) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw thrown;
    }
  }

  newest(key: string): Entry | undefined {
    const row = this.#one(
      'SELECT key, revision, value FROM versions WHERE key = ? ORDER BY revision DESC LIMIT 1',
      key,
    );
    return row === undefined || row.value === null ? undefined : entryOf(row);
  }

  list(prefix: string, revision: number): Entry[] {
    const rows = this.#all(
      `SELECT key, revision, value FROM versions v WHERE key >= ? AND key < ? AND value IS NOT NULL AND ${newestAt} ORDER BY key`,
      prefix,
      endOf(prefix),
      revision,
    );
    return rows.map(entryOf);
  }

  append(version: VersionRow): void {
    this.#run(
      'INSERT INTO versions (key, revision, value, lease) VALUES (?, ?, ?, ?)',
      version.key,
      version.revision,
      version.value,
      version.lease,
    );
  }

  setRevision(revision: number): void {
    this.#setMeta('revision', revision);
    this.revision = revision;
  }

  /** Events under `prefix` of revisions from `first` to `last`. */
  events(prefix: string, first: number, last: number): StoreEvent[] {
    const rows = this.#all(
      'SELECT key, revision, value FROM versions WHERE revision BETWEEN ? AND ? AND key >= ? AND key < ? ORDER BY revision, id',
      first,
      last,
      prefix,
      endOf(prefix),
    );
    return rows.map(({ key, revision, value }) =>
      value === null ? { kind: 'delete', key, revision } : { kind: 'put', key, revision, value },
    );
  }

  /** Drops what no list at or after `revision` would show. */
  compact(revision: number): void {
    this.#run(
      `DELETE FROM versions AS v WHERE revision <= ? AND (value IS NULL OR revision < (SELECT max(revision) FROM versions w WHERE w.key = v.key AND w.revision <= ?))`,
      revision,
      revision,
    );
    this.#setMeta('compacted', revision);
    this.compacted = revision;
  }

  addLease(lease: LeaseRow): void {
    this.#run('INSERT INTO leases (id, ttl_ms) VALUES (?, ?)', lease.id, lease.ttlMs);
  }

  removeLease(id: string): void {
    this.#run('DELETE FROM leases WHERE id = ?', id);
  }

  leases(): LeaseRow[] {
    return this.#all('SELECT id, ttl_ms FROM leases').map((row) => ({ id: row.id, ttlMs: row.ttl_ms }));
  }

  /** The keys that a lease holds now. */
  keysOf(lease: string): string[] {
    const rows = this.#all(
      `SELECT key FROM versions v WHERE lease = ? AND value IS NOT NULL AND ${newestAt} ORDER BY key`,
      lease,
      this.revision,
    );
    return rows.map((row) => row.key);
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #meta(name: string): unknown {
    return this.#one('SELECT value FROM meta WHERE name = ?', name)?.value;
  }

  #setMeta(name: string, value: SQLInputValue): void {
    this.#run(
      'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
      name,
      value,
    );
  }

  #one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepared(sql).get(...values) as Row | undefined;
  }

  #all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepared(sql).all(...values) as unknown as Row[];
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#prepared(sql).run(...values);
  }

  #prepared(sql: string): ReturnType<DatabaseSync['prepare']> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function entryOf(row: Row): Entry {
  return { key: row.key, revision: row.revision, value: row.value ?? noBytes };
}

/** The least text after everything that begins with `prefix`. */
function endOf(prefix: string): string {
  // U+10FFFF sorts after every character that can follow the prefix.
  return `${prefix}\u{10ffff}`;
}
