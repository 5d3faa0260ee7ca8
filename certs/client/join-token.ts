/**
 * The text of a join token: `heddle1.ID.SECRET.ROOT`, each part base64url. ROOT is the SHA-256 of the mesh's root
 * certificate, so that a node knows its pilot before it says anything. Single use, short-lived; see `join-desk.ts`.
 */
import { MeshError } from '../../kit/errors.ts';

export interface JoinToken {
  /** Names the token in logs; not secret. */
  readonly id: string;
  /** 32 bytes, known to the holder alone. */
  readonly secret: Buffer;
  /** 32 bytes. */
  readonly rootSha256: Buffer;
}

const prefix = 'heddle1';
const shape = /^heddle1\.([A-Za-z0-9_-]{11})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})$/;

export function formatJoinToken(token: JoinToken): string {
  return [prefix, token.id, token.secret.toString('base64url'), token.rootSha256.toString('base64url')].join(
    '.',
  );
}

/** Throws `invalid` without repeating the token, which would put it into a log. */
export function parseJoinToken(text: string): JoinToken {
  const [, id, secret, root] = shape.exec(text.trim()) ?? [];
  if (id === undefined || secret === undefined || root === undefined) {
    throw new MeshError(
      'invalid',
      `join token is cut short or of another form (${text.length} characters, expected ${prefix}.ID.SECRET.ROOT)`,
      { origin: 'downstream' },
    );
  }
  return { id, secret: Buffer.from(secret, 'base64url'), rootSha256: Buffer.from(root, 'base64url') };
}
