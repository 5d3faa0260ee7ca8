/**
 * The first meeting of a node and its pilot: the join token says which root the pilot's chain must end in. The chain
 * is looked at over a connection that carries nothing else; the root found is then what the real connection trusts.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import type { Clock } from '../../kit/clock.ts';
import { MeshError, messageOf } from '../../kit/errors.ts';
import { pilotName } from '../../mesh/identity.ts';
import { readSvid, verifyPeer } from '../../mesh/svid.ts';

export interface PilotAddress {
  readonly host: string;
  readonly port: number;
}

export interface PilotRoot {
  /** PEM; trust this and nothing else for the join. */
  readonly root: string;
  readonly trustDomain: string;
}

const timeoutMs = 10_000;
const maxChain = 5;

/**
 * Finds the root with that SHA-256 at the end of the pilot's chain and checks the chain down from it.
 * Throws `identity_refused` where it is another pilot, `unavailable` where there is none.
 */
export async function fetchPilotRoot(
  address: PilotAddress,
  rootSha256: Uint8Array,
  clock: Clock,
): Promise<PilotRoot> {
  const where = `${address.host}:${address.port}`;
  const chain = await readChain(address, undefined, clock);
  const root = chain.find((certificate) => timingSafeEqual(sha256(certificate), rootSha256));
  if (root === undefined) {
    const why = `the pilot at ${where} is not of the mesh that the join token is for`;
    throw new MeshError('identity_refused', why, { origin: 'upstream' });
  }
  const pem = pemOf(root);
  // Now that the root is known, TLS itself checks signatures, usage and dates from there down.
  const [leaf] = await readChain(address, pem, clock);
  try {
    if (leaf === undefined) throw new Error('it shows no certificate');
    const { trustDomain } = readSvid(leaf).identity;
    checkPilot(leaf, trustDomain, clock.wallMs());
    return { root: pem, trustDomain };
  } catch (cause) {
    throw notThePilot(where, messageOf(cause), cause);
  }
}

/**
 * For `checkServerIdentity` of connections to a pilot: its leaf (DER), whose chain TLS has verified, must be a
 * pilot's of that trust domain. Throws `identity_refused`.
 */
export function checkPilot(leaf: Uint8Array, trustDomain: string, nowMs: number): void {
  verifyPeer(leaf, { trustDomain, names: pilotName(trustDomain), nowMs, origin: 'upstream' });
}

function readChain(address: PilotAddress, root: string | undefined, clock: Clock): Promise<Buffer[]> {
  const where = `${address.host}:${address.port}`;
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...address,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      // Without a root nothing is believed and nothing said: only the chain is read.
      rejectUnauthorized: root !== undefined,
      checkServerIdentity: () => undefined,
      ...(root === undefined ? {} : { ca: root }),
    });
    const settle = (act: () => void) => {
      timer.cancel();
      socket.destroy();
      act();
    };
    const fail = (why: string, cause?: unknown) =>
      settle(() => {
        const isChain = root !== undefined && socket.authorizationError != null;
        reject(isChain ? notThePilot(where, why, cause) : unreachable(where, why, cause));
      });
    const timer = clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
    socket.on('error', (cause) => fail(messageOf(cause), cause));
    socket.on('close', () => fail('it closed'));
    socket.on('secureConnect', () => {
      const chain = chainOf(socket);
      // In order, so that the pilot sees a handshake that was done and not one that failed.
      socket.end(() => settle(() => resolve(chain)));
    });
  });
}

/** The certificates that the server sent, leaf first. */
function chainOf(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw !== undefined && chain.length < maxChain) {
    chain.push(next.raw);
    // A root is its own issuer.
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function notThePilot(where: string, why: string, cause: unknown): MeshError {
  return new MeshError('identity_refused', `who answers at ${where} is no pilot of this mesh: ${why}`, {
    origin: 'upstream',
    cause,
  });
}

function unreachable(where: string, why: string, cause: unknown): MeshError {
  return new MeshError('unavailable', `cannot look at the pilot at ${where}: ${why}`, {
    origin: 'upstream',
    retry: 'always',
    cause,
  });
}
