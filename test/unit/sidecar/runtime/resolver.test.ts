import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AskingResolver, type ResolveAnswer } from '../../../../sidecar/runtime/resolver.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function createResolver() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const resolver = new AskingResolver((name) => asked.push(name), clock);
  const resolve = (name: string) => {
    const answers: ResolveAnswer[] = [];
    resolver.resolve(name, (answer) => answers.push(answer));
    return answers;
  };
  return { clock, asked, resolver, resolve };
}

describe('AskingResolver', () => {
  it('asks once for all who want the same name', () => {
    const { asked, resolver, resolve } = createResolver();
    const answers = [resolve('orders'), resolve('orders')];
    assert.deepEqual(asked, ['orders']);
    resolver.answer('orders', { kind: 'known' });
    assert.deepEqual(answers, [[{ kind: 'known' }], [{ kind: 'known' }]]);
  });

  it('says that nobody answers after a second', () => {
    const { clock, resolve } = createResolver();
    const answers = resolve('orders');
    clock.advance(999);
    assert.deepEqual(answers, []);
    clock.advance(1);
    assert.deepEqual(answers, [{ kind: 'silent' }]);
  });

  it('remembers for five seconds that a name is absent', () => {
    const { clock, asked, resolver, resolve } = createResolver();
    resolve('ordres');
    const absent: ResolveAnswer = { kind: 'absent', near: ['orders'] };
    resolver.answer('ordres', absent);
    assert.deepEqual(resolve('ordres'), [absent]);
    clock.advance(5_001);
    assert.deepEqual(resolve('ordres'), []);
    assert.deepEqual(asked, ['ordres', 'ordres']);
  });

  it('remembers the last absent names, however many there were', () => {
    const { asked, resolver, resolve } = createResolver();
    for (let n = 0; n < 1_100; n++) {
      resolve(`ghost-${n}`);
      resolver.answer(`ghost-${n}`, { kind: 'absent', near: [] });
    }
    assert.deepEqual(resolve('ghost-1099'), [{ kind: 'absent', near: [] }]);
    assert.deepEqual(resolve('ghost-0'), []);
    assert.equal(asked.length, 1_101);
  });

  it('drops an answer that comes too late', () => {
    const { clock, resolver, resolve } = createResolver();
    const answers = resolve('orders');
    clock.advance(1_000);
    resolver.answer('orders', { kind: 'known' });
    assert.deepEqual(answers, [{ kind: 'silent' }]);
  });
});
