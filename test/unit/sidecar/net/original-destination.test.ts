import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import {
  canonicalAddress,
  decodeSocketName,
  originalDestination,
} from '../../../../sidecar/net/original-destination.ts';
import { OwnSources } from '../../../../sidecar/net/own-sources.ts';
import { defer } from '../../../support/cleanup.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

/** Both ends of a connection over loopback. */
async function connected(t: TestContext, watch?: (socket: Socket) => void) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const accepting = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const near = connect({ host: '127.0.0.1', port });
  watch?.(near);
  const far = await accepting;
  defer(t, async () => {
    near.destroy();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { near, far, port };
}

describe('decodeSocketName', () => {
  it('reads an IPv4 name', () => {
    const name = Buffer.from('02001f900a09004d0000000000000000', 'hex');
    assert.deepEqual(decodeSocketName(name), { address: '10.9.0.77', port: 8080 });
  });

  it('reads an IPv6 name and writes the address in its one form', () => {
    const name = Buffer.from(`0a0001bb00000000${'20010db8000000000000000000000001'}00000000`, 'hex');
    assert.deepEqual(decodeSocketName(name), { address: '2001:db8::1', port: 443 });
  });

  it('takes a mapped IPv4 address for the IPv4 address that it is', () => {
    const name = Buffer.from(`0a00005000000000${'00000000000000000000ffff0a000001'}00000000`, 'hex');
    assert.deepEqual(decodeSocketName(name), { address: '10.0.0.1', port: 80 });
  });

  it('has no answer for another family, port 0 or too few bytes', () => {
    assert.equal(decodeSocketName(Buffer.from('01001f900a09004d0000000000000000', 'hex')), undefined);
    assert.equal(decodeSocketName(Buffer.from('020000000a09004d0000000000000000', 'hex')), undefined);
    assert.equal(decodeSocketName(Buffer.from('0a0001bb000000002001', 'hex')), undefined);
    assert.equal(decodeSocketName(Buffer.from('0a0001bb0000000020010db800000000', 'hex')), undefined);
  });
});

describe('canonicalAddress', () => {
  it('writes every form of an address the same way', () => {
    assert.equal(canonicalAddress('2001:DB8:0:0:0:0:0:1'), '2001:db8::1');
    assert.equal(canonicalAddress('::ffff:10.0.0.1'), '10.0.0.1');
    assert.equal(canonicalAddress('10.0.0.1'), '10.0.0.1');
    assert.equal(canonicalAddress('fe80::1%eth0'), 'fe80::1');
  });
});

describe('originalDestination', () => {
  it('has no answer for a socket that is gone', async (t) => {
    const { far } = await connected(t);
    far.destroy();
    assert.equal(originalDestination(far), undefined);
  });

  it('never names another place than the listener for a connection that was not redirected', async (t) => {
    const { far, port } = await connected(t);
    // Where the kernel tracks connections it names the listener itself, elsewhere nothing.
    const found = originalDestination(far);
    if (found !== undefined) assert.deepEqual(found, { address: '127.0.0.1', port });
  });
});

describe('OwnSources', () => {
  it('knows a connection of ours by its source, also before it hears that it is connected', async (t) => {
    const sources = new OwnSources();
    const { near, far } = await connected(t, (socket) => sources.add(socket));
    const [address = '', port = 0] = [far.remoteAddress, far.remotePort];
    assert.ok(sources.has(address, port));
    assert.ok(!sources.has(address, port === 1 ? 2 : 1));
    if (near.connecting) await new Promise((resolve) => near.once('connect', resolve));
    assert.ok(sources.has(address, port));
  });

  it('forgets it when it is closed', async (t) => {
    const sources = new OwnSources();
    const { near, far } = await connected(t, (socket) => sources.add(socket));
    const [address = '', port = 0] = [far.remoteAddress, far.remotePort];
    near.destroy();
    await new Promise((resolve) => near.once('close', resolve));
    assert.ok(!sources.has(address, port));
  });

  it('knows nobody else', async (t) => {
    const sources = new OwnSources();
    const { far } = await connected(t);
    assert.ok(!sources.has(far.remoteAddress ?? '', far.remotePort ?? 0));
  });
});
