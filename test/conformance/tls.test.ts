/**
 * Who may stand at either end of a mesh connection: a table of certificates that must be refused, each shown to our
 * server by a careless client and to our client by a careless server, and the ways a handshake can be abused.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { before, describe, it } from 'node:test';
import { x509 } from '../../certs/x509.ts';
import { MeshError } from '../../kit/errors.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { createCredentials } from '../../sidecar/net/tls-credentials.ts';
import {
  bundleOf,
  type CertificateShape,
  createAuthority,
  createTestMesh,
  signCertificate,
  type TestMesh,
} from '../support/certificates.ts';
import { eventually, within } from '../support/eventually.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import {
  listen,
  ourClient,
  ourServer,
  plainClient,
  strangeClient,
  strangeServer,
} from '../support/tls-bench.ts';

const minute = 60_000;
const good = 'spiffe://mesh.test/ns/test/sa/orders';
const flags = x509.KeyUsageFlags;

interface Row {
  readonly row: string;
  readonly what: string;
  readonly bundle: (mesh: TestMesh) => Promise<IdentityBundle>;
  readonly why: RegExp;
}

const uri = (value: string) => ({ kind: 'uri', value }) as const;
const dns = (value: string) => ({ kind: 'dns', value }) as const;
const inMinutes = (minutes: number) => new Date(Date.now() + minutes * minute);

function leaf(row: string, what: string, shape: CertificateShape, why: RegExp): Row {
  return { row, what, why, bundle: (mesh) => mesh.bundle('orders', shape) };
}

function named(row: string, name: string, why = /is no name of a workload or node/): Row {
  return leaf(row, `the name ${JSON.stringify(name.slice(0, 60))}`, { names: [uri(name)] }, why);
}

const refusedLeaves: readonly Row[] = [
  leaf('T1', 'no URI name', { names: [] }, /0 URI names/),
  {
    row: 'T1',
    what: 'no subject alternative name at all',
    why: /no subject alternative name/,
    async bundle({ intermediate, trustBundle }) {
      return bundleOf(await signCertificate({}, intermediate), [intermediate], trustBundle);
    },
  },
  leaf('T2', 'two URI names', { names: [uri(good), uri(good)] }, /2 URI names/),
  leaf('T3', 'a DNS name only', { names: [dns('orders.test.mesh')] }, /0 URI names/),
  named('T4', 'SPIFFE://mesh.test/ns/test/sa/orders'),
  named('T5', 'spiffe://other.test/ns/test/sa/orders', /trust domain 'other.test'/),
  named('T6', 'spiffe://mesh.test'),
  named('T6', 'spiffe://mesh.test/'),
  named('T6', 'spiffe://mesh.test/ns//sa/orders'),
  named('T6', 'spiffe://mesh.test/ns/test/sa/orders/'),
  named('T7', 'spiffe://mesh.test/ns/../sa/orders'),
  named('T7', 'spiffe://mesh.test/ns/test/sa/a%2fb'),
  named('T7', 'spiffe://mesh.test/ns/test/sa/orders?x=1'),
  named('T7', 'spiffe://mesh.test/ns/test/sa/orders\0'),
  named('T7', `spiffe://mesh.test/ns/test/sa/${'a'.repeat(2048)}`),
  named('T8', 'spiffe://mesh.test.evil/ns/test/sa/orders', /trust domain 'mesh.test.evil'/),
  named('T8', 'spiffe://MESH.TEST/ns/test/sa/orders'),
  named('T8', 'spiffe://mesh.test:443/ns/test/sa/orders'),
  named('T8', 'spiffe://user@mesh.test/ns/test/sa/orders'),
  leaf('T9', 'a URI hidden in a DNS name', { names: [dns(`a, URI:${good}`)] }, /0 URI names/),
  leaf('T9', 'a NUL in a DNS name', { names: [dns(`a\0URI:${good}`)] }, /0 URI names/),
  leaf('T10', 'its end in the past', { notBefore: inMinutes(-9), notAfter: inMinutes(-1) }, /has ended/),
  leaf('T11', 'its begin in the future', { notBefore: inMinutes(9) }, /not valid yet/),
  {
    row: 'T12',
    what: 'its own signature',
    why: /signed by itself|neither in its chain/,
    async bundle({ trustBundle }) {
      return bundleOf(await signCertificate({ names: [uri(good)] }), [], trustBundle);
    },
  },
  {
    row: 'T13',
    what: 'a chain without its intermediate',
    why: /neither in its chain nor in our trust bundle/,
    async bundle({ intermediate, trustBundle }) {
      return bundleOf(await signCertificate({ names: [uri(good)] }, intermediate), [], trustBundle);
    },
  },
  leaf('T14', 'the right to sign', { isCa: true, names: [uri(good)] }, /of an authority/),
  {
    row: 'T14',
    what: 'a signature by another leaf',
    why: /may not sign|breaks a rule of key size, usage/,
    async bundle({ intermediate, trustBundle }) {
      const thief = await signCertificate(
        { subject: 'CN=thief', isCa: false, names: [uri('spiffe://mesh.test/ns/test/sa/thief')] },
        intermediate,
      );
      const forged = await signCertificate({ names: [uri(good)] }, thief);
      return bundleOf(forged, [thief, intermediate], trustBundle);
    },
  },
  {
    row: 'T15',
    what: 'our name under a stranger’s root',
    why: /not in our trust bundle|neither in its chain/,
    async bundle({ trustBundle }) {
      const { root, intermediate } = await createAuthority('mesh.test');
      return bundleOf(
        await signCertificate({ names: [uri(good)] }, intermediate),
        [intermediate, root],
        trustBundle,
      );
    },
  },
  leaf('T16', 'serverAuth only', { purposes: ['serverAuth'] }, /lacks clientAuth|usage/),
  leaf('T16', 'clientAuth only', { purposes: ['clientAuth'] }, /lacks serverAuth|usage/),
  leaf('V5', 'no key usage', { usage: null }, /no critical key usage/),
  leaf('V5', 'a key usage that is not critical', { usageCritical: false }, /no critical key usage/),
  leaf('V5', 'no digitalSignature', { usage: flags.keyAgreement }, /lacks digitalSignature|usage/),
  leaf('V5', 'cRLSign', { usage: flags.digitalSignature | flags.cRLSign }, /allows signing/),
  {
    row: 'V7',
    what: 'the certificate of the authority itself',
    why: /authority|usage|purpose|no subject alternative/i,
    async bundle({ root, intermediate, trustBundle }) {
      return bundleOf(intermediate, [root], trustBundle);
    },
  },
  leaf('V10', 'a short RSA key', { key: 'rsa1024' }, /breaks a rule of key size/),
  leaf('V10', 'a node’s name', { names: [uri('spiffe://mesh.test/node/n1')] }, /expected/),
];

describe('peers that are refused', () => {
  guardLeaks();
  let mesh: TestMesh;
  before(async () => {
    mesh = await createTestMesh('mesh.test');
  });

  for (const { row, what, bundle, why } of refusedLeaves) {
    it(`${row}: our server refuses ${what}, reads nothing and says why`, async (t) => {
      const server = await ourServer(t, await mesh.bundle('catalogue'));
      const visit = strangeClient(t, server.port, await bundle(mesh));
      await within(visit.closed, 'the refusal');
      const { error, address } = await eventually(() => server.refused[0]);
      assert.match(error.message, why);
      assert.equal(error.code, 'identity_refused');
      assert.equal(address, '127.0.0.1');
      assert.deepEqual([server.secure.length, server.received()], [0, '']);
      assert.ok(visit.answer().includes(error.message.slice(0, 200)), 'the peer is told the reason');
    });

    it(`${row}: our client refuses ${what}`, async (t) => {
      const port = await strangeServer(t, await bundle(mesh));
      const attempt = ourClient(t, port, await mesh.bundle('web'), { expected: good });
      await assert.rejects(within(attempt, 'the refusal'), (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.match(error.message, why);
        return error.code === 'identity_refused' && error.origin === 'upstream' && error.retry === 'always';
      });
    });
  }

  it('V9: our client refuses a good peer that is not the expected one', async (t) => {
    const server = await ourServer(t, await mesh.bundle('catalogue'));
    const attempt = ourClient(t, server.port, await mesh.bundle('web'), {
      expected: new Set([good, mesh.nameOf('prices')]),
    });
    await assert.rejects(attempt, /it is spiffe:.*catalogue, expected spiffe:.*orders or spiffe:.*prices/);
    const { error } = await eventually(() => server.refused[0]);
    assert.match(error.message, /may have refused our certificate/);
    assert.equal(server.received(), '');
  });

  it('T9: takes the real URI beside a DNS name that pretends another', async (t) => {
    const names = [dns(`x, URI:${mesh.nameOf('admin')}`), uri(good)];
    const server = await ourServer(t, await mesh.bundle('catalogue'));
    strangeClient(t, server.port, await mesh.bundle('orders', { names }));
    const peer = await eventually(() => server.secure[0]);
    assert.equal(peer.identity, good);
  });
});

describe('connections that stand', () => {
  guardLeaks();

  it('carry on one way after the other side ended, in both directions', async (t) => {
    const mesh = await createTestMesh('mesh.test');
    const server = await ourServer(t, await mesh.bundle('orders'), {
      onSecure: (socket) => socket.resume().once('end', () => socket.end('late answer')),
    });
    const { socket } = await ourClient(t, server.port, await mesh.bundle('web'), { expected: good });
    socket.end('request');
    const [answer] = await within(once(socket, 'data'), 'the answer');
    assert.equal(String(answer), 'late answer');
  });

  it('T20: our server notices a caller that leaves in the middle of its handshake', async (t) => {
    const mesh = await createTestMesh('mesh.test');
    const server = await ourServer(t, await mesh.bundle('orders'));
    const raw = await plainClient(t, server.port);
    raw.end(Buffer.from([22, 3, 1, 0, 200, 1]));
    const { error } = await eventually(() => server.refused[0]);
    assert.match(error.message, /closed before it was done/);
    assert.equal(server.acceptor.pending, 0);
  });
});

describe('peers that are accepted', () => {
  guardLeaks();
  let mesh: TestMesh;
  before(async () => {
    mesh = await createTestMesh('mesh.test');
  });

  it('tells both sides who the other is, which service is meant, and when the certificate ends', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders', { notAfter: new Date(1_999_999_999_000) }));
    const { socket, peer } = await ourClient(t, server.port, await mesh.bundle('web'), { expected: good });
    socket.write('hello');
    const [echo] = await once(socket, 'data');
    assert.equal(String(echo), 'hello');
    assert.deepEqual([peer.identity, peer.protocol, peer.notAfterMs], [good, 'h2', 1_999_999_999_000]);
    const [seen] = server.secure;
    assert.deepEqual([seen?.identity, seen?.serverName], [mesh.nameOf('web'), '80.orders.shop.mesh']);
    assert.equal(socket.getProtocol(), 'TLSv1.3');
  });

  for (const key of ['p384', 'ed25519', 'rsa2048'] as const) {
    it(`V10: accepts a ${key} key`, async (t) => {
      const server = await ourServer(t, await mesh.bundle('orders', { key }));
      const { peer } = await ourClient(t, server.port, await mesh.bundle('web'), { expected: good });
      assert.equal(peer.identity, good);
    });
  }

  it('T17, T18, T27: never resumes a session, so neither an old identity nor early data comes in', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const bundle = await mesh.bundle('web');
    const first = strangeClient(t, server.port, bundle);
    const sessions: Buffer[] = [];
    first.socket.on('session', (session: Buffer) => sessions.push(session));
    await eventually(() => first.answer() === 'request');
    const session = sessions.at(-1) ?? first.socket.getSession();
    assert.ok(session !== undefined);
    const second = strangeClient(t, server.port, bundle, { session });
    await eventually(() => second.answer() === 'request');
    assert.equal(second.socket.isSessionReused(), false);
    const nobody = strangeClient(t, server.port, undefined, { session });
    await within(nobody.closed, 'the refusal');
    assert.equal(server.secure.length, 2);
  });

  it('T19: a renewal serves new handshakes and leaves live connections alone', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const web = await mesh.bundle('web');
    const live = await ourClient(t, server.port, web, { expected: good });
    let echoed = 0;
    live.socket.on('data', (chunk: Buffer) => {
      echoed += chunk.length;
    });
    const bundles = [await mesh.bundle('orders'), await mesh.bundle('orders'), await mesh.bundle('orders')];
    const serials = new Set<string | undefined>();
    for (let round = 0; round < 30; round++) {
      server.acceptor.renew(createCredentials(bundles[round % 3] as IdentityBundle));
      live.socket.write('x');
      const { socket } = await ourClient(t, server.port, web, { expected: good });
      serials.add(socket.getPeerX509Certificate()?.serialNumber);
      socket.write('y');
      await within(once(socket, 'data'), 'the echo');
      socket.destroy();
    }
    await eventually(() => echoed === 30);
    assert.equal(serials.size, 3);
    assert.deepEqual(server.refused, []);
  });

  it('T19: a renewed trust bundle decides about new peers', async (t) => {
    const stranger = await createTestMesh('mesh.test');
    const server = await ourServer(t, await mesh.bundle('orders'));
    const outside = await stranger.bundle('web');
    await within(strangeClient(t, server.port, outside).closed, 'the refusal');
    const both = {
      ...(await mesh.bundle('orders')),
      trustBundle: `${mesh.trustBundle}\n${stranger.trustBundle}`,
    };
    server.acceptor.renew(createCredentials(both));
    const visit = strangeClient(t, server.port, outside);
    await eventually(() => visit.answer() === 'request');
  });

  it('T20: a client whose certificate is refused learns it with the first bytes', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const expired = await mesh.bundle('web', { notBefore: inMinutes(-9), notAfter: inMinutes(-1) });
    const { socket } = await ourClient(t, server.port, expired, { expected: good });
    socket.write('request');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await within(once(socket, 'end'), 'the end');
    const bytes = Buffer.concat(chunks);
    const frame = bytes.subarray(9);
    assert.deepEqual([bytes[3], frame[3], frame.readUInt32BE(9), frame.readUInt32BE(13)], [4, 7, 0, 12]);
    assert.equal(frame.readUIntBE(0, 3), frame.length - 9);
    assert.match(frame.subarray(17).toString(), /it has ended/);
    assert.equal(server.received(), '');
  });
});

describe('handshakes that are abused', () => {
  guardLeaks();
  let mesh: TestMesh;
  before(async () => {
    mesh = await createTestMesh('mesh.test');
  });

  it('T21: a flood of silent connections neither grows beyond its bound nor keeps callers out', async (t) => {
    const limits = { maxWaiting: 50, maxHandshakes: 4 };
    const server = await ourServer(t, await mesh.bundle('orders'), { limits });
    const silent = await Promise.all(Array.from({ length: 200 }, () => plainClient(t, server.port)));
    await eventually(() => server.refused.length >= 150);
    assert.ok(server.acceptor.pending <= 50);
    assert.ok(server.refused.every(({ error }) => error.code === 'overloaded'));
    const { peer } = await ourClient(t, server.port, await mesh.bundle('web'), { expected: good });
    assert.equal(peer.identity, good);
    for (const socket of silent) socket.destroy();
    await eventually(() => server.acceptor.pending === 0);
  });

  it('T21: ends a connection that does not begin, and one that does not go on', async (t) => {
    const limits = { timeoutMs: 200 };
    const server = await ourServer(t, await mesh.bundle('orders'), { limits });
    const silent = await plainClient(t, server.port);
    const stuck = await plainClient(t, server.port);
    stuck.write(Buffer.from([22, 3, 1, 0, 200, 1]));
    silent.resume();
    stuck.resume();
    await within(Promise.all([once(silent, 'close'), once(stuck, 'close')]), 'the ends');
    await eventually(() => server.refused.length === 2);
    assert.deepEqual(server.refused.map(({ error }) => error.message).sort(), [
      'TLS handshake failed: it took too long',
      'TLS handshake not begun within 200 ms',
    ]);
    assert.equal(server.acceptor.pending, 0);
  });

  it('T21: more handshakes than slots are all served in turn', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'), { limits: { maxHandshakes: 1 } });
    const web = await mesh.bundle('web');
    const visits = Array.from({ length: 20 }, () => ourClient(t, server.port, web, { expected: good }));
    await within(Promise.all(visits), 'twenty handshakes');
    await eventually(() => server.secure.length === 20);
  });

  it('our client gives up on a server that does not answer', async (t) => {
    const port = await listen(t, createServer());
    const attempt = ourClient(t, port, await mesh.bundle('web'), { expected: good, timeoutMs: 100 });
    await assert.rejects(attempt, { code: 'tls_failed', message: 'TLS handshake not done within 100 ms' });
  });

  for (const protocols of [['http/1.1'], ['x'], undefined]) {
    it(`T23: refuses the protocols ${protocols?.join() ?? '(none)'} on a link`, async (t) => {
      const server = await ourServer(t, await mesh.bundle('orders'));
      const visit = strangeClient(t, server.port, await mesh.bundle('web'), { ALPNProtocols: protocols });
      await within(visit.closed, 'the refusal');
      const { error } = await eventually(() => server.refused[0]);
      assert.equal(error.code, 'tls_failed');
      assert.match(error.message, /protocol/);
      assert.equal(server.received(), '');
    });
  }

  it('T23: our client refuses a server that agrees to no protocol', async (t) => {
    const port = await strangeServer(t, await mesh.bundle('orders'), []);
    const attempt = ourClient(t, port, await mesh.bundle('web'), { expected: good });
    await assert.rejects(attempt, { code: 'tls_failed' });
  });

  for (const servername of ['', 'a'.repeat(255), '80.orders.shop.mesh']) {
    it(`T23: serves any server name of ${servername.length} bytes`, async (t) => {
      const server = await ourServer(t, await mesh.bundle('orders'));
      const visit = strangeClient(t, server.port, await mesh.bundle('web'), { servername });
      await eventually(() => visit.answer() === 'request' || server.refused.length > 0);
      assert.equal(
        server.secure[0]?.serverName ?? '',
        servername.length === 255 ? 'a'.repeat(255) : servername,
      );
    });
  }

  it('T23: a handler that throws ends that connection only', async (t) => {
    let calls = 0;
    const server = await ourServer(t, await mesh.bundle('orders'), {
      onSecure(socket) {
        if (calls++ === 0) throw new Error('bug');
        socket.end('fine');
      },
    });
    const web = await mesh.bundle('web');
    await within(strangeClient(t, server.port, web).closed, 'the first');
    assert.equal(server.refused[0]?.error.code, 'internal');
    const second = strangeClient(t, server.port, web);
    await within(second.closed, 'the second');
    assert.equal(second.answer(), 'fine');
  });

  for (const maxVersion of ['TLSv1', 'TLSv1.1', 'TLSv1.2'] as const) {
    it(`T22, T24: refuses ${maxVersion}, and with it renegotiation`, async (t) => {
      const server = await ourServer(t, await mesh.bundle('orders'));
      const options = { minVersion: 'TLSv1', maxVersion, ciphers: 'ALL:@SECLEVEL=0' } as const;
      const visit = strangeClient(t, server.port, await mesh.bundle('web'), options);
      await within(visit.closed, 'the refusal');
      assert.match(visit.error()?.code ?? '', /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS/);
      const { error } = await eventually(() => server.refused[0]);
      assert.match(error.message, /TLS 1.3 is needed/);
    });
  }

  it('T25: refuses plaintext, and names it', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const raw = await plainClient(t, server.port);
    raw.resume();
    raw.write('GET / HTTP/1.1\r\nhost: orders\r\n\r\n');
    await within(once(raw, 'close'), 'the refusal');
    const { error } = await eventually(() => server.refused[0]);
    assert.match(error.message, /the peer speaks no TLS here/);
  });

  it('T25: refuses a caller without certificate where strict', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const visit = strangeClient(t, server.port, undefined);
    await within(visit.closed, 'the refusal');
    assert.match(server.refused[0]?.error.message ?? '', /showed no certificate/);
    assert.match(visit.answer(), /showed no certificate/);
  });

  it('T25: permissive serves callers without certificate as nobody, and refuses wrong ones still', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'), { mode: 'permissive' });
    const nobody = strangeClient(t, server.port, undefined, { ALPNProtocols: undefined });
    await eventually(() => nobody.answer() === 'request');
    assert.equal(server.secure[0]?.identity, undefined);
    assert.equal(server.secure[0]?.notAfterMs, undefined);
    strangeClient(t, server.port, await mesh.bundle('web'));
    const known = await eventually(() => server.secure[1]);
    assert.equal(known.identity, mesh.nameOf('web'));
    const liar = await createTestMesh('mesh.test');
    await within(strangeClient(t, server.port, await liar.bundle('web')).closed, 'the refusal');
    assert.equal(server.refused[0]?.error.code, 'identity_refused');
  });

  it('T25: a port turns strict while connections stand', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'), { mode: 'permissive' });
    const early = strangeClient(t, server.port, undefined);
    await eventually(() => early.answer() === 'request');
    server.acceptor.setMode('strict');
    await within(strangeClient(t, server.port, undefined).closed, 'the refusal');
    assert.match(server.refused[0]?.error.message ?? '', /showed no certificate/);
    early.socket.write('+more');
    await eventually(() => early.answer() === 'request+more');
  });

  it('T26: a connection cut without close_notify is an end, with nothing made up', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const raw = await plainClient(t, server.port);
    const bundle = await mesh.bundle('web');
    const visit = strangeClient(t, server.port, bundle, { socket: raw });
    await eventually(() => visit.answer() === 'request');
    const [socket] = server.sockets;
    assert.ok(socket !== undefined);
    const ended = once(socket, 'end');
    raw.destroy();
    await within(ended, 'the end');
    assert.equal(server.received(), 'request');
  });

  it('T28: takes bytes in the smallest records, and ends a record that is too long', async (t) => {
    const server = await ourServer(t, await mesh.bundle('orders'));
    const visit = strangeClient(t, server.port, await mesh.bundle('web'), { text: '' });
    for (let i = 0; i < 2_000; i++) visit.socket.write('x');
    await eventually(() => visit.answer().length === 2_000);
    const raw = await plainClient(t, server.port);
    raw.resume();
    raw.write(Buffer.concat([Buffer.from([22, 3, 1, 0x48, 1]), Buffer.alloc(0x4801)]));
    await within(once(raw, 'close'), 'the refusal');
    const { error } = await eventually(() => server.refused[0]);
    assert.equal(error.code, 'tls_failed');
  });
});
