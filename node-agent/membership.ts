/** Which node of which mesh this state folder belongs to, and where its pilots are: written at the join. */
import { join } from 'node:path';
import { MeshError } from '../kit/errors.ts';
import type { Log } from '../kit/log.ts';
import { readSaved, writeSaved } from './disk/saved-file.ts';

export interface Membership {
  readonly node: string;
  readonly trustDomain: string;
  /** `HOST:PORT` of the pilots' mutual TLS ports. */
  readonly pilots: readonly string[];
}

export function saveMembership(stateDir: string, membership: Membership): void {
  writeSaved(join(stateDir, 'membership'), Buffer.from(JSON.stringify(membership)));
}

/** Undefined where this folder never joined. Throws MeshError `conflict` where it is another node's. */
export function loadMembership(stateDir: string, node: string, log: Log): Membership | undefined {
  const bytes = readSaved(join(stateDir, 'membership'), log);
  if (bytes === undefined) return undefined;
  // Its checksum was right, so it is what this program wrote.
  const membership = JSON.parse(bytes.toString('utf8')) as Membership;
  if (membership.node === node) return membership;
  throw new MeshError(
    'conflict',
    `the state folder ${stateDir} belongs to node ${membership.node}, not to ${node}: choose another --state-dir or that --node`,
    { origin: 'local' },
  );
}
