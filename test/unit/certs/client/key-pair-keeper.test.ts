import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type KeptIdentity, loadIdentity } from '../../../../certs/client/identity-file.ts';
import { createKeyPair } from '../../../../certs/client/key-pair.ts';
import {
  createKeyPairKeeper,
  type KeeperOptions,
  type KeyPairKeeper,
} from '../../../../certs/client/key-pair-keeper.ts';
import { MeshError } from '../../../../kit/errors.ts';
import { seededRandom } from '../../../../kit/random.ts';
import { defer } from '../../../support/cleanup.ts';
import { eventually } from '../../../support/eventually.ts';
import { recordingLog } from '../../../support/recording-log.ts';
import { tempFolder } from '../../../support/temp-folder.ts';
import { type TestAuthority, testAuthority } from '../../../support/test-authority.ts';

const hourMs = 3_600_000;
const name = 'spiffe://mesh.test/ns/shop/sa/orders';

interface Home extends TestAuthority {
  readonly file: string;
  /** When each request came, in ms since the beginning. */
  readonly asked: number[];
  /** What happens to requests from now on. */
  pilot: 'answers' | 'is down' | 'hangs' | 'lies';
  keeper(options?: Partial<KeeperOptions>): KeyPairKeeper;
  readonly seen: KeptIdentity[];
  readonly lines: ReturnType<typeof recordingLog>['lines'];
}

async function home(t: TestContext, leafMs = 72 * hourMs): Promise<Home> {
  const base = await testAuthority(t, { lifetimes: { leafMs }, allowShortLifetimes: true });
  const { authority, clock } = base;
  const startMs = clock.wallMs();
  const log = recordingLog();
  const random = seededRandom(7);
  const made: Home = {
    ...base,
    file: join(tempFolder(t), 'keys', 'orders.json'),
    asked: [],
    pilot: 'answers',
    seen: [],
    lines: log.lines,
    keeper(options = {}) {
      const keeper = createKeyPairKeeper({ name, file: made.file, issue, clock, random, log, ...options });
      keeper.subscribe((kept) => made.seen.push(kept));
      defer(t, () => keeper.close());
      return keeper;
    },
  };
  async function issue(csr: Buffer) {
    made.asked.push(clock.wallMs() - startMs);
    if (made.pilot === 'is down') throw new MeshError('unavailable', 'pilot is down', { origin: 'upstream' });
    if (made.pilot === 'hangs') await new Promise(() => {});
    const account = made.pilot === 'lies' ? 'thief' : 'orders';
    return authority.issueWorkload({ node: 'n1', namespace: 'shop', account, csr, isPlaced: () => true });
  }
  return made;
}

/** Lets promises and the signing threads finish; time stands still meanwhile. */
async function settled(condition: () => boolean): Promise<void> {
  await eventually(condition, { everyMs: 1 });
}

describe('KeyPairKeeper', () => {
  it('gets a certificate at once, and keeps it in a private file', async (t) => {
    const h = await home(t);
    const keeper = h.keeper();
    assert.equal(keeper.current, undefined);
    keeper.start();
    const kept = await keeper.ready();
    const leaf = new X509Certificate(kept.bundle.certificateChain);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(kept.bundle.privateKey)));
    assert.equal(statSync(h.file).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(h.file)).mode & 0o777, 0o700);
    assert.deepEqual(loadIdentity(h.file), kept);
    assert.deepEqual(keeper.current, kept);
  });

  it('renews at half of its life, ±10 %, each time with a new key', async (t) => {
    const h = await home(t);
    h.keeper().start();
    await settled(() => h.seen.length === 1);
    for (let seconds = 0; seconds < 10 * 36 * 3_600; seconds += 20) {
      h.clock.advance(20_000);
      if (h.seen.length < h.asked.length) await settled(() => h.seen.length === h.asked.length);
    }
    const gaps = h.asked.slice(1).map((at, i) => (at - (h.asked[i] ?? 0)) / hourMs);
    assert.ok(gaps.length >= 9);
    for (const gap of gaps) assert.ok(gap >= 32.3 && gap <= 39.7, `${gap} hours`);
    assert.equal(new Set(h.seen.map(({ bundle }) => bundle.privateKey)).size, h.seen.length);
  });

  it('keeps the valid one while the pilot is down, asks less and less often, and recovers', async (t) => {
    const h = await home(t);
    const keeper = h.keeper();
    keeper.start();
    await settled(() => h.seen.length === 1);
    h.pilot = 'is down';
    h.clock.advance(30 * hourMs);
    while (h.asked.length < 14) {
      const { length } = h.asked;
      h.clock.advance(1_000);
      await settled(() => h.asked.length === length || keeper.problem === 'pilot is down');
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(keeper.current !== undefined);
    const gaps = h.asked.slice(2).map((at, i) => at - (h.asked[i + 1] ?? 0));
    assert.ok((gaps[0] ?? 0) <= 2_000 && (gaps[4] ?? 0) >= 7_000, gaps.join());
    assert.ok(Math.max(...gaps) <= 166_000 && (gaps.at(-1) ?? 0) >= 134_000, gaps.join());
    h.pilot = 'answers';
    keeper.renewNow();
    await settled(() => h.seen.length === 2);
    assert.equal(keeper.problem, undefined);
  });

  it('warns as the end comes near, and has nothing to show after it', async (t) => {
    const h = await home(t, 600_000);
    const keeper = h.keeper();
    keeper.start();
    await settled(() => h.seen.length === 1);
    h.pilot = 'is down';
    for (let seconds = 0; seconds < 610; seconds++) {
      h.clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const warnings = h.lines.filter(({ message }) => message === 'certificate is not renewed and will end');
    assert.equal(warnings.length, 3);
    assert.equal(keeper.current, undefined);
    assert.ok(
      h.lines.some(({ level, message }) => level === 'error' && /no valid certificate/.test(message)),
    );
  });

  it('asks often enough where little life is left', async (t) => {
    const h = await home(t, 6_000);
    const keeper = h.keeper();
    keeper.start();
    await settled(() => h.seen.length === 1);
    h.pilot = 'is down';
    for (let ms = 0; ms < 5_800; ms += 50) {
      h.clock.advance(50);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(h.asked.length >= 4, `${h.asked.length} attempts`);
    h.pilot = 'answers';
    const attempts = h.asked.length;
    for (let ms = 0; h.asked.length === attempts && ms < 20_000; ms += 500) h.clock.advance(500);
    await settled(() => h.seen.length === 2);
  });

  it('gives up on an answer that does not come', async (t) => {
    const h = await home(t);
    h.pilot = 'hangs';
    const keeper = h.keeper();
    keeper.start();
    await settled(() => h.asked.length === 1);
    h.clock.advance(30_000);
    await settled(() => keeper.problem !== undefined);
    assert.equal(keeper.problem, 'no answer within 30000 ms');
    h.pilot = 'answers';
    h.clock.advance(600);
    await settled(() => h.seen.length === 1);
  });

  it('refuses a certificate for another name', async (t) => {
    const h = await home(t);
    h.pilot = 'lies';
    const keeper = h.keeper();
    keeper.start();
    await settled(() => keeper.problem !== undefined);
    assert.match(keeper.problem ?? '', /issued certificate refused: .*thief, expected .*orders/);
    assert.deepEqual(h.seen, []);
  });

  it('starts from disk without a pilot, and renews at once where half is over', async (t) => {
    const h = await home(t);
    const first = h.keeper();
    first.start();
    await settled(() => h.seen.length === 1);
    first.close();
    h.pilot = 'is down';
    h.clock.advance(20 * hourMs);
    const second = h.keeper();
    assert.deepEqual(second.current, h.seen[0]);
    second.start();
    assert.equal(h.asked.length, 1);
    second.close();
    h.clock.advance(30 * hourMs);
    h.keeper().start();
    await settled(() => h.asked.length === 2);
  });

  it('notices a clock that jumped ahead within a minute', async (t) => {
    const h = await home(t);
    h.keeper().start();
    await settled(() => h.seen.length === 1);
    const ahead = h.clock;
    const wallMs = ahead.wallMs.bind(ahead);
    ahead.wallMs = () => wallMs() + 50 * hourMs;
    ahead.advance(60_000);
    await settled(() => h.asked.length === 2);
  });

  it('takes new roots that come apart, but none that leave it without its own', async (t) => {
    const h = await home(t);
    const keeper = h.keeper();
    keeper.start();
    const kept = await keeper.ready();
    const other = await testAuthority(t);
    const both = `${kept.bundle.trustBundle}${other.authority.trustBundle}`;
    keeper.trust(both);
    assert.equal(h.seen.at(-1)?.bundle.trustBundle, both);
    assert.equal(loadIdentity(h.file)?.bundle.trustBundle, both);
    assert.throws(() => keeper.trust(other.authority.trustBundle), { code: 'invalid' });
    assert.throws(() => keeper.trust(''), { code: 'invalid' });
  });

  it('takes what a join brought, and survives a subscriber that throws', async (t) => {
    const h = await home(t);
    const node = 'spiffe://mesh.test/node/n1';
    const keeper = h.keeper({ name: node });
    keeper.subscribe(() => {
      throw new Error('bug');
    });
    const pair = createKeyPair();
    keeper.adopt(
      pair,
      await h.authority.issueNode({ node: 'n1', csr: pair.signingRequest, because: 'token' }),
    );
    assert.equal(keeper.current?.bundle.privateKey, pair.privateKey);
    const wrong = createKeyPair();
    const issued = await h.authority.issueNode({ node: 'n1', csr: wrong.signingRequest, because: 'token' });
    assert.throws(() => keeper.adopt(pair, issued), { message: /it is for another key/ });
    keeper.start();
    assert.deepEqual(h.asked, []);
  });

  it('goes on where the disk takes nothing', async (t) => {
    const h = await home(t);
    const keeper = h.keeper();
    keeper.start();
    await keeper.ready();
    rmSync(dirname(h.file), { recursive: true });
    writeFileSync(dirname(h.file), 'in the way');
    keeper.renewNow();
    await settled(() => h.seen.length === 2);
    assert.ok(h.lines.some(({ message }) => message === 'certificate could not be written to disk'));
  });
});

describe('an identity file', () => {
  it('is refused where it is broken, planted, readable by others or for another name', async (t) => {
    const h = await home(t);
    const keeper = h.keeper();
    keeper.start();
    await keeper.ready();
    keeper.close();
    const whole = readFileSync(h.file, 'utf8');
    const refusals: readonly [() => void, RegExp][] = [
      [() => writeFileSync(h.file, whole.slice(0, 100)), /identity file .*orders.json/],
      [() => writeFileSync(h.file, whole.replace('notAfterMs', 'notafterms')), /checksum/],
      [() => writeFileSync(h.file, '{}'), /sha256/],
      [() => chmodSync(h.file, 0o644), /others may read it/],
    ];
    for (const [damage, why] of refusals) {
      writeFileSync(h.file, whole);
      damage();
      assert.throws(() => loadIdentity(h.file), { code: 'invalid', message: why });
    }
    writeFileSync(h.file, whole);
    chmodSync(h.file, 0o600);
    const link = join(dirname(h.file), 'link.json');
    symlinkSync(h.file, link);
    assert.throws(() => loadIdentity(link), { code: 'invalid' });
    const other = 'spiffe://mesh.test/ns/shop/sa/prices';
    assert.throws(() => h.keeper({ name: other }), { message: /is not for spiffe:.*prices/ });
  });
});
