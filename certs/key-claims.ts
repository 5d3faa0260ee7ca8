/** A key belongs to one name: who asks to have another's key certified may have copied it. */
import { MeshError } from '../kit/errors.ts';

export interface KeyClaims {
  /** Throws `denied` where the key was certified for another name not long ago. */
  claim(fingerprint: string, name: string): void;
}

/** The newest keys of this pilot; older ones are forgotten, for this is a guard beside the check of placement. */
const maxClaims = 65_536;

export function createKeyClaims(): KeyClaims {
  const names = new Map<string, string>();
  return {
    claim(fingerprint, name) {
      const owner = names.get(fingerprint);
      if (owner !== undefined && owner !== name) {
        const why = `no certificate for ${name}: its key is that of ${owner}`;
        throw new MeshError('denied', why, { origin: 'downstream' });
      }
      names.delete(fingerprint);
      names.set(fingerprint, name);
      if (names.size > maxClaims) {
        const [oldest] = names.keys();
        if (oldest !== undefined) names.delete(oldest);
      }
    },
  };
}
