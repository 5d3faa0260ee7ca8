import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { createKeyPair } from '../../../certs/client/key-pair.ts';
import { createRegistrar, type Registrar, type RegistrarOptions } from '../../../certs/registrar.ts';
import { MeshError } from '../../../kit/errors.ts';
import { readSvid } from '../../../mesh/svid.ts';
import { type TestAuthority, testAuthority } from '../../support/test-authority.ts';

interface Desk extends TestAuthority {
  readonly registrar: Registrar;
  /** Tries to join and returns the refusal's words, or the name that was issued. */
  readonly attempt: (token: string, node?: string) => Promise<string>;
}

async function desk(t: TestContext, options: Partial<RegistrarOptions> = {}): Promise<Desk> {
  const base = await testAuthority(t);
  const accountOf = (node: string, namespace: string, workload: string) =>
    `${node} ${namespace}/${workload}` === 'n1 shop/orders' ? 'order-keeper' : undefined;
  const { authority, storage: tokens, clock, log } = base;
  const registrar = createRegistrar({ authority, tokens, accountOf, clock, log, ...options });
  const attempt = async (token: string, node = 'n1') => {
    try {
      const csr = createKeyPair().signingRequest;
      const issued = await registrar.join({ token, node, csr, address: '127.0.0.1' });
      return readSvid(new X509Certificate(issued.certificateChain).raw).name;
    } catch (thrown) {
      assert.ok(thrown instanceof MeshError);
      return thrown.message;
    }
  };
  return { ...base, registrar, attempt };
}

const joined = 'spiffe://mesh.test/node/n1';

describe('a join token', () => {
  it('lets one node in, once', async (t) => {
    const { registrar, attempt, clock } = await desk(t);
    const { token, id, expiresMs } = await registrar.createToken();
    assert.equal(expiresMs, clock.wallMs() + 600_000);
    assert.equal(await attempt(token), joined);
    const usedAt = new Date(clock.wallMs()).toISOString();
    assert.equal(
      await attempt(token, 'n2'),
      `join token ${id} refused: it was used by node 'n1' at ${usedAt}; create a new one`,
    );
  });

  it('used a hundred times at once lets exactly one in', async (t) => {
    const { registrar, attempt } = await desk(t, { joinLimit: { perSecond: 1, burst: 200 } });
    const { token } = await registrar.createToken();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => attempt(token, `n${i}`)));
    assert.equal(answers.filter((answer) => answer.startsWith('spiffe:')).length, 1);
    assert.equal(
      answers.filter((answer) => /it was used by node|others keep using it/.test(answer)).length,
      99,
    );
  });

  it('is refused after its end, elsewhere, cut short, unknown or with another secret', async (t) => {
    const { registrar, attempt, clock } = await desk(t);
    const bound = await registrar.createToken({ node: 'n1' });
    assert.match(await attempt(bound.token, 'n2'), /it is for node 'n1', not 'n2'/);
    assert.match(await attempt(bound.token.slice(0, -3)), /cut short or of another form/);
    assert.match(await attempt(''), /cut short/);
    const [prefix, id, secret, root] = bound.token.split('.');
    const otherSecret = `${secret?.slice(0, 20)}${secret?.[20] === 'A' ? 'B' : 'A'}${secret?.slice(21)}`;
    assert.match(await attempt([prefix, id, otherSecret, root].join('.')), /it is unknown/);
    assert.match(await attempt([prefix, 'A'.repeat(11), secret, root].join('.')), /it is unknown/);
    assert.equal(await attempt(bound.token), joined, 'none of that used it up');
    const late = await registrar.createToken({ lifetimeMs: 1_000 });
    clock.advance(1_000);
    assert.match(await attempt(late.token), /it ended at 2/);
  });

  it('is stored without its secret, and never logged', async (t) => {
    const { registrar, attempt, storage, log } = await desk(t);
    const { token } = await registrar.createToken();
    await attempt(token);
    await attempt(token);
    await attempt(token.slice(2));
    const secret = token.split('.')[2] ?? '';
    const stored = [...storage.records.values()].map(({ bytes }) => Buffer.from(bytes).toString()).join();
    for (const place of [stored, JSON.stringify(log.lines)]) {
      assert.ok(!place.includes(secret));
      assert.ok(!place.includes(Buffer.from(secret, 'base64url').toString('hex')));
    }
  });

  it('is not used up by a request that cannot be granted', async (t) => {
    const { registrar, attempt, clock, log } = await desk(t);
    const { token } = await registrar.createToken();
    const csr = Buffer.from('garbage');
    await assert.rejects(registrar.join({ token, node: 'n1', csr, address: '10.0.0.9' }), {
      code: 'invalid',
    });
    assert.partialDeepStrictEqual(log.lines.at(-1), {
      level: 'warn',
      message: 'join refused',
      fields: { node: 'n1', address: '10.0.0.9' },
    });
    assert.match(await attempt(token, 'no/name'), /is no name of a node/);
    clock.advance(1_000);
    assert.equal(await attempt(token), joined);
  });

  it('cannot be tried without end from one address', async (t) => {
    const { registrar, attempt, clock } = await desk(t, { joinLimit: { perSecond: 1, burst: 3 } });
    const { token } = await registrar.createToken();
    for (let i = 0; i < 3; i++) await attempt('wrong');
    assert.match(await attempt(token), /too many attempts to join from 127.0.0.1/);
    clock.advance(1_000);
    assert.equal(await attempt(token), joined);
  });

  it('for a node of no name, or for a year, is not made', async (t) => {
    const { registrar } = await desk(t);
    await assert.rejects(registrar.createToken({ node: 'a/b' }), { code: 'invalid' });
    for (const lifetimeMs of [0, -1, Number.NaN, 365 * 24 * 3_600_000])
      await assert.rejects(registrar.createToken({ lifetimeMs }), { code: 'invalid' });
  });
});

describe('a node that has joined', () => {
  it('renews its own certificate and gets those of the workloads placed on it', async (t) => {
    const { registrar } = await desk(t);
    const renewed = await registrar.renewNode('n1', createKeyPair().signingRequest);
    assert.equal(readSvid(new X509Certificate(renewed.certificateChain).raw).name, joined);
    const csr = createKeyPair().signingRequest;
    const issued = await registrar.issueWorkload('n1', { namespace: 'shop', workload: 'orders', csr });
    const { name } = readSvid(new X509Certificate(issued.certificateChain).raw);
    assert.equal(name, 'spiffe://mesh.test/ns/shop/sa/order-keeper');
  });

  it('gets none of a workload placed elsewhere, and the log says so in the same words', async (t) => {
    const { registrar, log } = await desk(t);
    const csr = createKeyPair().signingRequest;
    const message = "no certificate: workload 'shop/orders' is not placed on node 'n2'";
    const request = { namespace: 'shop', workload: 'orders', csr };
    await assert.rejects(registrar.issueWorkload('n2', request), { code: 'denied', message });
    assert.partialDeepStrictEqual(log.lines.at(-1), {
      level: 'warn',
      fields: { node: 'n2', reason: message },
    });
  });

  it('is bounded in how many certificates it gets', async (t) => {
    const { registrar } = await desk(t, { issueLimit: { perSecond: 1, burst: 2 } });
    for (let i = 0; i < 2; i++) await registrar.renewNode('n1', createKeyPair().signingRequest);
    const third = registrar.renewNode('n1', createKeyPair().signingRequest);
    await assert.rejects(third, { code: 'limit_exceeded' });
    await registrar.renewNode('n2', createKeyPair().signingRequest);
  });
});
