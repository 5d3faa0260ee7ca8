/**
 * The first meeting with a pilot: its chain is checked against the root in the token before anything is said, then
 * the token buys this node's first certificate.
 */
import { parseJoinToken } from '../../certs/client/join-token.ts';
import { createKeyPair, type KeyPair } from '../../certs/client/key-pair.ts';
import { fetchPilotRoot } from '../../certs/client/pilot-root.ts';
import { type Clock, sleep } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { IssuedCertificate } from '../../proto/certificates-wire.ts';
import { programProtocol, requireProtocol } from '../../proto/protocol.ts';
import { join } from '../../proto/rpc.ts';
import { formatHostPort, type HostPort, parseHostPort } from './address.ts';
import { callOnce, openChannel } from './channel.ts';

export interface JoinInit {
  readonly node: string;
  readonly token: string;
  /** Join addresses, tried in order. */
  readonly pilots: readonly HostPort[];
  /** Pilots may start at the same time as this node: how long one is waited for. */
  readonly patienceMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Joined {
  readonly pair: KeyPair;
  readonly certificate: IssuedCertificate;
  readonly trustDomain: string;
  /** `HOST:PORT` of the pilots' mutual TLS ports, the joined one first. */
  readonly pilots: readonly string[];
}

const pauseMs = 1_000;
const callMs = 10_000;

/** Throws MeshError: `unavailable` where no pilot answered in time, else why it was refused. */
export async function joinMesh(init: JoinInit): Promise<Joined> {
  const { clock, log, pilots } = init;
  const endMs = clock.nowMs() + init.patienceMs;
  for (;;) {
    const failures: string[] = [];
    for (const pilot of pilots) {
      try {
        return await joinAt(pilot, init);
      } catch (error) {
        if (!(error instanceof MeshError) || error.retry !== 'always') throw error;
        failures.push(`${formatHostPort(pilot)}: ${messageOf(error)}`);
      }
    }
    const reason = failures.join('; ');
    if (clock.nowMs() >= endMs) {
      throw new MeshError('unavailable', `no pilot could be reached to join (${reason})`, {
        origin: 'upstream',
      });
    }
    log.warn('no pilot to join yet', { reason });
    await sleep(clock, pauseMs);
  }
}

async function joinAt(pilot: HostPort, { node, token, clock, pilots }: JoinInit): Promise<Joined> {
  const { rootSha256 } = parseJoinToken(token);
  const { root, trustDomain } = await fetchPilotRoot(pilot, rootSha256, clock);
  const pair = createKeyPair();
  const client = openChannel(formatHostPort(pilot), { roots: root, trustDomain, own: undefined }, clock);
  try {
    const request = { protocol: programProtocol, token: token.trim(), node, csr: pair.signingRequest };
    const response = await callOnce(client, join, request, { deadlineMs: clock.wallMs() + callMs });
    requireProtocol(response.protocol, 'the pilot');
    return {
      pair,
      certificate: response.certificate,
      trustDomain: response.trustDomain,
      pilots: mutualAddresses(response.pilotAddress, pilot, pilots),
    };
  } catch (error) {
    if (error instanceof MeshError && error.retry !== 'always') {
      throw new MeshError(error.code, `the pilot refused to let ${node} join: ${error.message}`, {
        origin: error.origin,
        cause: error,
      });
    }
    throw error;
  } finally {
    client.close();
  }
}

/** An empty host is the joined pilot's own; the other pilots serve on the same port of theirs. */
function mutualAddresses(told: string, joined: HostPort, all: readonly HostPort[]): string[] {
  const { host, port } = told.startsWith(':')
    ? { host: joined.host, port: parseHostPort(`pilot${told}`).port }
    : parseHostPort(told);
  const others = all
    .filter((pilot) => pilot.host !== joined.host)
    .map((pilot) => ({ host: pilot.host, port }));
  return [...new Set([{ host, port }, ...others].map(formatHostPort))];
}
