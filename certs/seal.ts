/**
 * Private keys at rest: AES-256-GCM under a key derived by scrypt from a secret that is kept elsewhere
 * (a file of mode 0600, or a systemd credential, which is a file too).
 */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { writeFileAtomic } from '../kit/atomic-file.ts';
import { MeshError, messageOf } from '../kit/errors.ts';

/** What `seal` makes: three base64 parts, `IV.TAG.CIPHERTEXT`. */
export type Sealed = string;

export interface Sealer {
  /** Part of what is stored beside the sealed texts, base64; the secret alone does not open them. */
  readonly salt: string;
  /** `context` is bound to the text: under another one it does not open. */
  seal(plain: string, context: string): Sealed;
  /** Throws `invalid` where the secret or the context is another, or the text was changed. */
  open(sealed: Sealed, context: string): string;
}

/** About 0.1 s and 64 MiB, once per start. */
const scrypt = { N: 2 ** 16, r: 8, p: 1, maxmem: 96 * 1024 * 1024 } as const;
const saltBytes = 16;
const ivBytes = 12;
const algorithm = 'aes-256-gcm';

/** Without `salt` a new one is drawn. */
export function createSealer(secret: Uint8Array, salt = randomBytes(saltBytes).toString('base64')): Sealer {
  const key = scryptSync(secret, Buffer.from(salt, 'base64'), 32, scrypt);
  return {
    salt,
    seal(plain, context) {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv(algorithm, key, iv).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
      return [iv, cipher.getAuthTag(), sealed].map((part) => part.toString('base64')).join('.');
    },
    open(sealed, context) {
      const [iv, authTag, body] = sealed.split('.').map((part) => Buffer.from(part, 'base64'));
      try {
        if (iv?.length !== ivBytes || authTag?.length !== 16 || body === undefined)
          throw new Error('its form is another');
        const decipher = createDecipheriv(algorithm, key, iv, { authTagLength: 16 });
        decipher.setAAD(Buffer.from(context)).setAuthTag(authTag);
        return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
      } catch (cause) {
        const why = 'the private key does not open: sealed under another secret, or changed';
        throw new MeshError('invalid', why, { origin: 'local', cause });
      }
    },
  };
}

const minSecretBytes = 32;
const maxSecretBytes = 4_096;

export interface SecretOptions {
  /** `create`: makes a random one, mode 0600, where the file is missing. */
  readonly whenMissing: 'create' | 'fail';
  /** systemd guards a credential by an access list, which shows as a readable group. */
  readonly source: 'file' | 'credential';
}

/** The secret in a private file or a systemd credential. Throws `invalid` or `not_found` saying what to do. */
export function readSecret(path: string, options: SecretOptions): Buffer {
  try {
    return readPrivateFile(path, options.source);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw unreadable(path, cause);
    if (options.whenMissing === 'fail') {
      const hint = `no secret for the CA's keys at ${path}: put back the one that they were sealed with`;
      throw new MeshError('not_found', hint, { origin: 'local', cause });
    }
  }
  const secret = randomBytes(minSecretBytes).toString('base64');
  writeFileAtomic(path, secret, { mode: 0o600 });
  return Buffer.from(secret);
}

function readPrivateFile(path: string, source: SecretOptions['source']): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error('it is no plain file');
    if (source === 'file' && (stat.mode & 0o077) !== 0) throw new Error('others may read it (chmod 600)');
    if (stat.size < minSecretBytes || stat.size > maxSecretBytes)
      throw new Error(`it has ${stat.size} bytes, expected ${minSecretBytes} to ${maxSecretBytes}`);
    const bytes = Buffer.alloc(stat.size);
    return bytes.subarray(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

function unreadable(path: string, cause: unknown): MeshError {
  return new MeshError('invalid', `secret for the CA's keys in ${path}: ${messageOf(cause)}`, {
    origin: 'local',
    cause,
  });
}
