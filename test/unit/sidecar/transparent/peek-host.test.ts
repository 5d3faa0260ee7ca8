import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { TimerWheel } from '../../../../sidecar/net/timer-wheel.ts';
import {
  hostIn,
  maxPeekBytes,
  type PeekedHost,
  peekHost,
  peekMs,
} from '../../../../sidecar/transparent/peek-host.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

describe('hostIn', () => {
  it('finds the host, whatever stands around it, as soon as its line is whole', () => {
    assert.deepEqual(hostIn(bytes('GET / HTTP/1.1\r\nHost: Orders.Shop:80\r\n')), {
      authority: 'orders.shop:80',
    });
    assert.deepEqual(hostIn(bytes('\r\nGET / HTTP/1.1\r\nA: b\r\nhOST:\torders \r\n')), {
      authority: 'orders',
    });
  });

  it('wants more while it could follow, byte by byte', () => {
    const head = 'GET / HTTP/1.1\r\nAccept: */*\r\nHost: orders\r\n';
    for (let length = 0; length < head.length; length++) {
      assert.equal(hostIn(bytes(head.slice(0, length))), undefined, `after ${length} bytes`);
    }
    assert.deepEqual(hostIn(bytes(head)), { authority: 'orders' });
  });

  it('finds none in a head without, with a bad one, or that is too long', () => {
    for (const head of [
      'GET / HTTP/1.0\r\n\r\n',
      'GET / HTTP/1.0\r\nX-Host: orders\r\n\r\nHost: orders\r\n',
      'GET / HTTP/1.1\r\nHost: a, b\r\n',
      'GET / HTTP/1.1\r\nHost:\r\n',
      `GET /${'x'.repeat(maxPeekBytes)}`,
    ]) {
      assert.equal(hostIn(bytes(head)), 'absent', head.slice(0, 60));
    }
  });
});

describe('peekHost', () => {
  function peek() {
    const clock = new FakeClock();
    const stream = new PassThrough();
    const seen: PeekedHost[] = [];
    peekHost(stream as unknown as Socket, new TimerWheel(clock), (host) => seen.push(host));
    return { clock, stream, seen };
  }

  it('puts back every byte that it read', async () => {
    const { stream, seen } = peek();
    stream.write('GET / HT');
    await new Promise((resolve) => setImmediate(resolve));
    stream.write('TP/1.1\r\nHost: orders\r\nrest');
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(seen, [{ authority: 'orders' }]);
    assert.ok(stream.isPaused());
    assert.equal(String(stream.read()), 'GET / HTTP/1.1\r\nHost: orders\r\nrest');
  });

  it('waits no longer than its bound', async () => {
    const { clock, stream, seen } = peek();
    stream.write('GET / HTTP/1.1\r\n');
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(2 * peekMs);
    assert.deepEqual(seen, ['absent']);
    assert.equal(String(stream.read()), 'GET / HTTP/1.1\r\n');
  });

  it('ends who ends in the middle', async () => {
    const { stream, seen } = peek();
    stream.end('GET / HTTP/1.1\r\n');
    await new Promise((resolve) => stream.once('close', resolve));
    assert.deepEqual(seen, []);
  });
});
