/** Turns the user that a workload names into ids, from `/etc/passwd`; only root may become somebody else. */
import { readFileSync } from 'node:fs';
import { MeshError } from '../../kit/errors.ts';

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** The ids of `user`, or undefined where the agent already is that user. Throws MeshError `invalid`. */
export function resolveUser(user: string): UserIds | undefined {
  const ids = findUser(user);
  if (ids === undefined) throw refused(`there is no user ${JSON.stringify(user)} on this node`);
  const own = process.getuid?.();
  if (ids.uid === own) return undefined;
  if (own !== 0) throw refused(`only an agent that is root can run a workload as ${JSON.stringify(user)}`);
  return ids;
}

/** The ids of a user, by name or number; undefined where there is none. */
export function findUser(user: string): UserIds | undefined {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === user || (uid !== undefined && uid !== '' && uid === user)) {
      return { uid: Number(uid), gid: Number(gid) };
    }
  }
  return undefined;
}

function refused(message: string): MeshError {
  return new MeshError('invalid', message, { origin: 'local' });
}
