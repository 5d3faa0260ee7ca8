/**
 * One identity on disk: key, certificates and trust in one private file, so that a cold start without a pilot has
 * all of them or none. Replaced atomically; refused where others could have read or planted it.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ensurePrivateFolder, writeFileAtomic } from '../../kit/atomic-file.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import { object, parse, type Reader, text } from '../../kit/parse.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { Life } from './renewal.ts';

/** A key pair in use, with its certificate's life. */
export interface KeptIdentity extends Life {
  readonly bundle: IdentityBundle;
}

/** A key, a chain and some dozens of roots. */
const maxFileBytes = 512 * 1024;

/** Throws Node's error where the disk does not take it; then the old file stands. */
export function saveIdentity(path: string, kept: KeptIdentity): void {
  ensurePrivateFolder(dirname(path));
  const body = JSON.stringify(kept);
  writeFileAtomic(path, JSON.stringify({ sha256: checksum(body), body }), { mode: 0o600 });
}

/** What was saved, or undefined where nothing was. Throws `invalid` where the file cannot be trusted. */
export function loadIdentity(path: string): KeptIdentity | undefined {
  try {
    const { sha256, body } = parse(envelopeReader, JSON.parse(readPrivateFile(path)));
    if (sha256 !== checksum(body)) throw new Error('its checksum is wrong');
    return parse(keptReader, JSON.parse(body));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new MeshError('invalid', `identity file ${path}: ${messageOf(cause)}`, { origin: 'local', cause });
  }
}

function readPrivateFile(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error('it is no plain file');
    if (stat.uid !== process.geteuid?.()) throw new Error(`it belongs to user ${stat.uid}`);
    if ((stat.mode & 0o077) !== 0) throw new Error('others may read it (chmod 600)');
    if (stat.size > maxFileBytes) throw new Error(`it has ${stat.size} bytes`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

const time: Reader<number> = (raw, path, report) => {
  if (typeof raw === 'number' && Number.isFinite(raw)) return raw;
  report({ path, message: 'expected milliseconds since 1970' });
  return 0;
};

const envelopeReader = object<{ sha256: string; body: string }>({ sha256: text, body: text });

const keptReader = object<KeptIdentity>({
  bundle: object<IdentityBundle>({ privateKey: text, certificateChain: text, trustBundle: text }),
  issuedMs: time,
  notAfterMs: time,
});

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
