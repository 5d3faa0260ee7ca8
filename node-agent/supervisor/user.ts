/** Turns the user that a workload names into ids, from `/etc/passwd`; only root may become somebody else. */
import { readFileSync } from 'node:fs';
import { MeshError } from '../../kit/errors.ts';

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

interface Account extends UserIds {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
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

/** What a login would set for this user; nothing where there is none. */
export function userVariables(user: string): Record<string, string> {
  const account = findUser(user);
  if (account === undefined) return {};
  const { name, home, shell } = account;
  return { HOME: home, USER: name, LOGNAME: name, SHELL: shell };
}

/** The ids of a user, by name or number; undefined where there is none. */
export function findUser(user: string): Account | undefined {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name = '', , uid, gid, , home = '/', shell = '/bin/sh'] = line.split(':');
    if (name === user || (uid !== undefined && uid !== '' && uid === user)) {
      return { uid: Number(uid), gid: Number(gid), name, home, shell };
    }
  }
  return undefined;
}

function refused(message: string): MeshError {
  return new MeshError('invalid', message, { origin: 'local' });
}
