import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../../kit/random.ts';
import { firstPort, isPortFree, lastPort, PortTable } from '../../../../node-agent/supervisor/ports.ts';
import { defer } from '../../../support/cleanup.ts';

const request = (purpose: string, wanted?: number) => ({ purpose, wanted });

describe('port table', () => {
  it('gives every purpose a port of its own, and the same one again', async () => {
    const ports = new PortTable(async () => true, seededRandom(1));
    const [a, b] = await Promise.all([
      ports.allocate('a', [request('link'), request('outbound')]),
      ports.allocate('b', [request('link'), request('outbound')]),
    ]);
    const all = [...Object.values(a), ...Object.values(b)];
    assert.equal(new Set(all).size, 4);
    assert.ok(all.every((port) => port >= firstPort && port <= lastPort));
    assert.deepEqual(await ports.allocate('a', [request('link'), request('outbound')]), a);
  });

  it('passes over ports that somebody holds', async () => {
    const ports = new PortTable(async (port) => port % 7 === 0, seededRandom(2));
    const { link } = await ports.allocate('a', [request('link')]);
    assert.equal((link ?? 1) % 7, 0);
  });

  it('takes the port that was asked for where it is free, and another where not', async () => {
    const ports = new PortTable(async (port) => port !== 9001, seededRandom(3));
    const { x } = await ports.allocate('a', [request('x', 9000)]);
    assert.equal(x, 9000);
    const second = await ports.allocate('b', [request('x', 9000), request('y', 9001)]);
    assert.ok(Object.values(second).every((port) => port >= firstPort));
  });

  it('replaces only what was taken', async () => {
    const taken = new Set<number>();
    const ports = new PortTable(async (port) => !taken.has(port), seededRandom(4));
    const { link: oldLink, outbound: oldOutbound } = await ports.allocate('a', [
      request('link'),
      request('outbound'),
    ]);
    assert.equal(await ports.replaceTaken('a', ['link', 'outbound']), false);
    taken.add(oldLink ?? 0);
    assert.equal(await ports.replaceTaken('a', ['link', 'outbound']), true);
    const { link, outbound } = ports.of('a');
    assert.notEqual(link, oldLink);
    assert.equal(outbound, oldOutbound);
  });

  it('gives up with a message where nothing is free', async () => {
    const ports = new PortTable(async () => false, seededRandom(5));
    await assert.rejects(ports.allocate('a', [request('link')]), /no free port found/);
  });

  it('sees a listener on loopback and on every address', async (t) => {
    for (const host of ['127.0.0.1', '0.0.0.0']) {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      assert.equal(await isPortFree(port), false);
      defer(t, () => new Promise<void>((resolve) => server.close(() => resolve())));
    }
  });
});
