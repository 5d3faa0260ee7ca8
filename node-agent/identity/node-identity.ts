/** The node's own identity: taken from disk, or bought with a join token; its membership goes with it. */
import { join } from 'node:path';
import {
  createKeyPairKeeper,
  type KeeperOptions,
  type KeyPairKeeper,
} from '../../certs/client/key-pair-keeper.ts';
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Random } from '../../kit/random.ts';
import { nodeName } from '../../mesh/identity.ts';
import { loadMembership, type Membership, saveMembership } from '../membership.ts';
import { parseHostPort } from '../pilot/address.ts';
import { joinMesh } from '../pilot/join.ts';
import { loadOrRenew } from './workload-identities.ts';

export interface NodeIdentityInit {
  readonly stateDir: string;
  readonly node: string;
  /** Join addresses, `HOST:PORT`. */
  readonly pilots: readonly string[];
  readonly token: string | undefined;
  readonly joinPatienceMs: number;
  readonly issue: KeeperOptions['issue'];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface NodeIdentity {
  readonly membership: Membership;
  /** Not started yet. */
  readonly keeper: KeyPairKeeper;
}

/** Throws MeshError saying what is missing or why the pilot refused. */
export async function openNodeIdentity(init: NodeIdentityInit): Promise<NodeIdentity> {
  const { stateDir, node, token, log } = init;
  const known = loadMembership(stateDir, node, log);
  const keeper = known === undefined ? undefined : openKeeper(known, init);
  if (known !== undefined && keeper !== undefined) {
    if (keeper.current !== undefined) return { membership: known, keeper };
    if (token === undefined) {
      log.error('the certificate of this node has ended: what is on disk goes on, join again with --token', {
        node,
      });
      return { membership: known, keeper };
    }
    keeper.close();
  }
  return joinAnew(init);
}

async function joinAnew(init: NodeIdentityInit): Promise<NodeIdentity> {
  const { stateDir, node, pilots, token, joinPatienceMs: patienceMs, clock, log } = init;
  if (token === undefined) {
    throw new MeshError(
      'invalid',
      `node ${node} has not joined a mesh yet: give --token (heddle pilot token create) and --pilot`,
      { origin: 'local' },
    );
  }
  if (pilots.length === 0) {
    throw new MeshError('invalid', 'give --pilot HOST:PORT, the join address of a pilot', {
      origin: 'local',
    });
  }
  const joined = await joinMesh({ node, token, pilots: pilots.map(parseHostPort), patienceMs, clock, log });
  const membership = { node, trustDomain: joined.trustDomain, pilots: joined.pilots };
  const keeper = openKeeper(membership, init);
  keeper.adopt(joined.pair, joined.certificate);
  saveMembership(stateDir, membership);
  log.info('joined the mesh', { node, trustDomain: joined.trustDomain, pilots: joined.pilots });
  return { membership, keeper };
}

function openKeeper(membership: Membership, init: NodeIdentityInit): KeyPairKeeper {
  const { clock, random, log, issue } = init;
  const file = join(init.stateDir, 'identities', 'node');
  const name = nodeName(membership.trustDomain, membership.node);
  return loadOrRenew(file, log, () => createKeyPairKeeper({ name, file, issue, clock, random, log }));
}
