/**
 * What an authority must not forget: its roots and its issuers (intermediates), private keys sealed.
 * Serialised as JSON for the pilot's store.
 */
import { MeshError } from '../kit/errors.ts';
import { object, ParseFailure, parse, type Reader, text } from '../kit/parse.ts';
import type { Sealed } from './seal.ts';

export interface CaState {
  readonly trustDomain: string;
  /** Of the sealer. */
  readonly salt: string;
  readonly roots: readonly RootRecord[];
  readonly issuers: readonly IssuerRecord[];
}

export interface RootRecord {
  /** SHA-256 of the certificate, hexadecimal. */
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  /** Gone once another root is active. */
  readonly key: Sealed | undefined;
  readonly createdMs: number;
  readonly notAfterMs: number;
  /** When it began to sign; undefined while it is only announced in trust bundles. */
  readonly activatedMs: number | undefined;
}

export interface IssuerRecord {
  readonly id: string;
  readonly rootId: string;
  readonly certificate: string;
  readonly key: Sealed;
  readonly createdMs: number;
  readonly notAfterMs: number;
}

/** The pilot's store as the authority sees it: one value, written only by whoever saw the last one. */
export interface CaStorage {
  /** Undefined where no authority was made yet. */
  load(): Promise<StoredCaState | undefined>;
  /** Replaces what stands at `revision` (0: nothing); false, and no change, where something else stands there. */
  save(bytes: Uint8Array, revision: number): Promise<boolean>;
}

export interface StoredCaState {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

const format = 1;

export function encodeCaState(state: CaState): Buffer {
  return Buffer.from(JSON.stringify({ format, ...state }), 'utf8');
}

/** Throws `invalid` naming every place that is broken. */
export function decodeCaState(bytes: Uint8Array): CaState {
  try {
    return parse(stateReader, JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    const why = cause instanceof ParseFailure ? cause.message : 'it is no JSON';
    throw new MeshError('invalid', `stored state of the CA: ${why}`, { origin: 'local', cause });
  }
}

const time: Reader<number> = (raw, path, report) => {
  if (typeof raw === 'number' && Number.isFinite(raw)) return raw;
  report({ path, message: 'expected milliseconds since 1970' });
  return 0;
};

const currentFormat: Reader<number> = (raw, path, report) => {
  if (raw !== format) report({ path, message: `format ${JSON.stringify(raw)} is not of this version` });
  return format;
};

const rootReader = object<RootRecord>({
  id: text,
  certificate: text,
  key: optional(text),
  createdMs: time,
  notAfterMs: time,
  activatedMs: optional(time),
});

const issuerReader = object<IssuerRecord>({
  id: text,
  rootId: text,
  certificate: text,
  key: text,
  createdMs: time,
  notAfterMs: time,
});

const stateReader = object<CaState & { format: number }>({
  format: currentFormat,
  trustDomain: text,
  salt: text,
  roots: list(rootReader),
  issuers: list(issuerReader),
});

function optional<T>(reader: Reader<T>): Reader<T | undefined> {
  return (raw, path, report) => (raw === undefined ? undefined : reader(raw, path, report));
}

function list<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (raw, path, report) => {
    if (Array.isArray(raw)) return raw.map((item, at) => reader(item, `${path}[${at}]`, report));
    report({ path, message: 'expected a list' });
    return [];
  };
}
