import assert from 'node:assert/strict';
import { createServer as createPlainServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { createServer } from 'node:tls';
import { parseJoinToken } from '../../../../certs/client/join-token.ts';
import { createKeyPair } from '../../../../certs/client/key-pair.ts';
import { fetchPilotRoot } from '../../../../certs/client/pilot-root.ts';
import { createRegistrar } from '../../../../certs/registrar.ts';
import { systemClock } from '../../../../kit/clock.ts';
import { freePort } from '../../../support/free-port.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';
import { type TestAuthority, testAuthority } from '../../../support/test-authority.ts';
import { listen } from '../../../support/tls-bench.ts';

interface Pilot extends TestAuthority {
  readonly port: number;
  readonly rootSha256: Buffer;
  /** Application bytes that came in. */
  readonly heard: () => number;
}

async function pilot(t: TestContext, identity: 'pilot' | 'node' = 'pilot'): Promise<Pilot> {
  const base = await testAuthority(t);
  const { authority, storage: tokens, clock, log } = base;
  const registrar = createRegistrar({ authority, tokens, accountOf: () => undefined, clock, log });
  const { rootSha256 } = parseJoinToken((await registrar.createToken()).token);
  const { privateKey, signingRequest: csr } = createKeyPair();
  const issued =
    identity === 'pilot'
      ? await authority.issuePilot(csr)
      : await authority.issueNode({ node: 'n1', csr, because: 'test' });
  const cert =
    identity === 'pilot' ? issued.certificateChain : issued.certificateChain + authority.trustBundle;
  let heard = 0;
  const server = createServer({ key: privateKey, cert, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.length;
    });
  });
  server.on('tlsClientError', () => {});
  return { ...base, port: await listen(t, server), rootSha256, heard: () => heard };
}

describe('fetchPilotRoot', () => {
  guardLeaks();

  it('finds the root that the join token names, and says nothing meanwhile', async (t) => {
    const { port, rootSha256, authority, heard } = await pilot(t);
    const found = await fetchPilotRoot({ host: '127.0.0.1', port }, rootSha256, systemClock);
    assert.equal(found.trustDomain, 'mesh.test');
    assert.equal(found.root.trim(), authority.trustBundle.trim());
    assert.equal(heard(), 0);
  });

  it('refuses a pilot of another mesh', async (t) => {
    const ours = await pilot(t);
    const theirs = await pilot(t);
    const attempt = fetchPilotRoot({ host: '127.0.0.1', port: theirs.port }, ours.rootSha256, systemClock);
    await assert.rejects(attempt, { code: 'identity_refused', message: /is not of the mesh/ });
  });

  it('refuses who borrowed the root, or is of the mesh but no pilot', async (t) => {
    const { rootSha256, authority } = await pilot(t);
    const thief = await testAuthority(t);
    const { privateKey, signingRequest: csr } = createKeyPair();
    const { certificateChain } = await thief.authority.issuePilot(csr);
    const cert = certificateChain + authority.trustBundle;
    const server = createServer({ key: privateKey, cert, ALPNProtocols: ['h2'] });
    server.on('tlsClientError', () => {});
    const port = await listen(t, server);
    const stolen = fetchPilotRoot({ host: '127.0.0.1', port }, rootSha256, systemClock);
    await assert.rejects(stolen, { code: 'identity_refused' });
    const node = await pilot(t, 'node');
    const attempt = fetchPilotRoot({ host: '127.0.0.1', port: node.port }, node.rootSha256, systemClock);
    await assert.rejects(attempt, { code: 'identity_refused', message: /node\/n1, expected .*pilot/ });
  });

  it('says so where nobody listens or no TLS is spoken', async (t) => {
    const nobody = fetchPilotRoot(
      { host: '127.0.0.1', port: await freePort() },
      Buffer.alloc(32),
      systemClock,
    );
    await assert.rejects(nobody, { code: 'unavailable', message: /cannot look at the pilot at 127.0.0.1:/ });
    const port = await listen(
      t,
      createPlainServer((socket) => socket.end('no TLS here')),
    );
    const plain = fetchPilotRoot({ host: '127.0.0.1', port }, Buffer.alloc(32), systemClock);
    await assert.rejects(plain, { code: 'unavailable' });
  });
});
