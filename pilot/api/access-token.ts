/** The token that the HTTP API asks for: made at the first start, kept in a private file. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { writeFileAtomic } from '../../kit/atomic-file.ts';
import { MeshError } from '../../kit/errors.ts';

const tokenBytes = 32;
const minTokenLength = 16;

/** The token in the file at `path`, made where there is none. Throws `invalid` where others may read it. */
export function readOrCreateAccessToken(path: string): string {
  if (!existsSync(path)) {
    const token = randomBytes(tokenBytes).toString('base64url');
    writeFileAtomic(path, `${token}\n`, { mode: 0o600 });
    return token;
  }
  const others = statSync(path).mode & 0o077;
  if (others !== 0) {
    throw invalid(`token file ${path} can be read by other users; chmod 600 it`);
  }
  const token = readFileSync(path, 'utf8').trim();
  if (token.length < minTokenLength)
    throw invalid(`token file ${path} holds no token; delete it for a new one`);
  return token;
}

/** Whether an `authorization` header carries `token`; takes as long whatever it carries. */
export function isAuthorized(header: string | undefined, token: string): boolean {
  const given = /^bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(sha256(given), sha256(token));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}

function invalid(message: string): MeshError {
  return new MeshError('invalid', message, { origin: 'local' });
}
