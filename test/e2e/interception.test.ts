/**
 * Connections taken from their way by nftables, in network namespaces that the test makes: real rules, real sidecars,
 * applications that know nothing. Skipped, and counted so, where the machine does not allow it.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { guardLeaks } from '../support/leak-guard.ts';
import {
  type Intercepted,
  request,
  shopHttp,
  shopTcp,
  startIntercepted,
  transparent,
  webPermissive,
  webStrict,
} from '../support/netns/intercepted.ts';
import {
  appUid,
  callFrom,
  otherUid,
  rulesetOf,
  startServers,
  whyNoNamespaces,
} from '../support/netns/namespaces.ts';

guardLeaks({ settleMs: 10_000 });

const missing = whyNoNamespaces();
const skip = missing ?? false;
if (missing !== undefined) process.stderr.write(`INTERCEPTION IS NOT TESTED: ${missing}\n`);

const strange = 9000;
const greeting = 9100;
const strangeHttp2 = 9200;
const undeclared = 7777;

/** Servers in both namespaces, sidecars, and rules for all of `app` but its sidecar, which is root. */
async function startAll(t: TestContext, policy?: 'registry_only'): Promise<Intercepted> {
  const mesh = await startIntercepted(t, policy);
  await startServers(t, mesh.peer, {
    [shopHttp]: 'raw',
    [shopTcp]: 'echo',
    [strange]: 'raw',
    [greeting]: 'greet',
  });
  await startServers(t, mesh.app, { [webStrict]: 'raw', [webPermissive]: 'raw', [undeclared]: 'raw' });
  await put(mesh);
  return mesh;
}

async function put(mesh: Intercepted, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await mesh.intercept(...namespaceOf(mesh), '--sidecar-user', '0', ...args);
  assert.equal(code, 0, stderr);
}

function namespaceOf({ app, webFile }: Intercepted): string[] {
  return ['--netns', app.name, '--config', webFile];
}

describe('interception, outbound', () => {
  it('carries what is for an endpoint over a link, and what is for others untouched', { skip }, async (t) => {
    const mesh = await startAll(t);
    const { app, peer, shop, web } = mesh;
    for (const address of [peer.address4, peer.address6]) {
      const sent = request('whatever', `/by-address/${address.length}`);
      const answer = await callFrom(t, app, { address, port: shopHttp, send: sent });
      assert.match(answer.text, /^HTTP\/1\.1 200 OK\r\n/, answer.error);
      assert.match(answer.text, /x-request-id: /, 'it did not go through the mesh');
      await eventually(() => shop.stdout.includes(`"path":"/by-address/${address.length}"`));

      const strangeSent = request('example.com', '/odd', 'X-WeIrD:   kept  as is \r\n');
      const untouched = await callFrom(t, app, { address, port: strange, send: strangeSent });
      assert.equal(untouched.text.slice(untouched.text.indexOf('\r\n\r\n') + 4), strangeSent);

      const greeted = await callFrom(t, app, { address, port: greeting });
      assert.deepEqual(greeted, { text: '220 hello\r\n', error: '' });

      const echoed = await callFrom(t, app, { address, port: shopTcp, send: 'bytes\n', until: '\n' });
      assert.deepEqual(echoed, { text: 'bytes\n', error: '' });
    }
    assert.match(shop.stdout, /"source":"spiffe:\/\/mesh\.test\/ns\/test\/sa\/web"/);
    await eventually(() => web.stdout.includes(`"endpoint":"[${peer.address6}]:${strange}"`));
    await eventually(() => web.stdout.includes('"cluster":"test/shop:8090"'));
    assert.doesNotMatch(web.stderr, /refused/, 'connections of the sidecar itself were taken');
  });

  it('finds a service by Host where the address is nobody’s, for each request of a connection', {
    skip,
  }, async (t) => {
    const { app, peer, shop } = await startAll(t);
    const toShop = `GET /first HTTP/1.1\r\nHost: shop.test:${shopHttp}\r\n\r\n`;
    const answer = await callFrom(t, app, {
      address: peer.address4,
      port: strange,
      send: toShop + request('example.com', '/second'),
    });
    const [first = '', second = ''] = answer.text.split(/(?=GET \/second)/);
    assert.match(first, /GET \/first/, answer.error);
    assert.match(second, /Host: example\.com/i);
    await eventually(() => shop.stdout.includes('"path":"/first"'));
    assert.ok(!shop.stdout.includes('/second'));
  });

  it('leaves TLS that the application speaks itself to where it was going', { skip }, async (t) => {
    const { app, peer, shop } = await startAll(t);
    // The beginning of a record is enough to be taken for TLS; the server behind it answers to anything.
    const record = '\x16\x03\x01\x00\x04\r\n\r\n';
    for (const address of [peer.address4, peer.address6]) {
      const answer = await callFrom(t, app, { address, port: shopHttp, send: record });
      assert.ok(answer.text.endsWith(`\r\n\r\n${record}`), answer.error);
    }
    assert.doesNotMatch(shop.stdout, /"direction":"inbound"/);
  });

  it('takes HTTP/2 apart by its authorities, and sends strangers on', { skip }, async (t) => {
    const mesh = await startAll(t);
    await startServers(t, mesh.peer, { [strangeHttp2]: 'http2' });
    const { app, peer, shop } = mesh;
    const to = { address: peer.address6, port: strangeHttp2 };
    const ours = { authority: `shop.test:${shopHttp}`, path: '/by-authority' };
    const known = await callFrom(t, app, { ...to, http2: ours });
    assert.match(known.text, /^200 GET \/by-authority HTTP\/1\.1/, known.error);
    const strange = await callFrom(t, app, { ...to, http2: { authority: 'example.com:81', path: '/away' } });
    assert.equal(strange.text, '200 http2 example.com:81 /away', strange.error);
    await eventually(() => shop.stdout.includes('"path":"/by-authority"'));
    assert.ok(!shop.stdout.includes('/away'));
  });

  it('lets nobody out to places that the mesh does not know where only those are allowed', {
    skip,
  }, async (t) => {
    const { app, peer, web } = await startAll(t, 'registry_only');
    const to = { address: peer.address4, port: strange };
    assert.match((await callFrom(t, app, { ...to, send: request('example.com') })).text, /^HTTP\/1\.1 404 /);
    assert.equal((await callFrom(t, app, { ...to, port: greeting })).error, 'ECONNRESET');
    const known = await callFrom(t, app, { ...to, port: shopHttp, send: request('x') });
    assert.match(known.text, /^HTTP\/1\.1 200 /);
    await eventually(() => /others are not allowed/.test(web.stderr));
  });

  it('leaves alone what is excluded, what is local, and what comes straight to its ports', {
    skip,
  }, async (t) => {
    const mesh = await startAll(t);
    const { app, peer, web } = mesh;
    await put(mesh, '--exclude-outbound-ports', `22,${strange}-${greeting}`);
    await web.stop();
    const direct = await callFrom(t, app, { address: peer.address4, port: greeting });
    assert.equal(direct.text, '220 hello\r\n');
    const taken = await callFrom(t, app, { address: peer.address4, port: shopHttp, send: request('x') });
    assert.equal(taken.error, 'ECONNREFUSED');
    const local = await callFrom(t, app, { address: app.address4, port: undeclared, send: request('x') });
    assert.match(local.text, /200 OK/);
    await put(mesh, '--exclude-outbound-addresses', `${peer.address4}/32,${peer.address6}`);
    for (const address of [peer.address4, peer.address6]) {
      assert.match((await callFrom(t, app, { address, port: shopHttp, send: request('x') })).text, /200 OK/);
    }
  });
});

describe('interception, inbound', () => {
  it('holds a port to its mode, and passes what is not declared', { skip }, async (t) => {
    const mesh = await startAll(t);
    const { app, peer, web } = mesh;
    for (const address of [app.address4, app.address6]) {
      const call = (port: number) => callFrom(t, peer, { address, port, send: request('web', '/in') });
      assert.match((await call(webStrict)).text, /^HTTP\/1\.1 403 /);
      assert.match((await call(webPermissive)).text, /^HTTP\/1\.1 200 OK\r\n/);
      const passed = await call(undeclared);
      assert.match(passed.text, /x-from: raw/);
      assert.doesNotMatch(passed.text, /x-request-id/);
    }
    await eventually(() => /"flags":"PT"/.test(web.stdout));
    assert.doesNotMatch(web.stderr, /intercepted connection refused/);
    await put(mesh, '--exclude-inbound-ports', String(webStrict));
    const excluded = await callFrom(t, peer, {
      address: app.address4,
      port: webStrict,
      send: request('web'),
    });
    assert.match(excluded.text, /^HTTP\/1\.1 200 OK\r\n/);
  });
});

describe('interception, loops', () => {
  it('refuses who comes straight to the ports for intercepted connections', { skip }, async (t) => {
    const { app, peer, web } = await startAll(t);
    const { inboundPort, outboundPort } = transparent;
    for (const [where, address, port] of [
      [peer, app.address4, inboundPort],
      [peer, app.address6, inboundPort],
      [app, '127.0.0.1', outboundPort],
      [app, '::1', outboundPort],
    ] as const) {
      const answer = await callFrom(t, where, { address, port, send: request('shop.test') });
      assert.deepEqual(answer, { text: '', error: 'ECONNRESET' });
    }
    await eventually(() => (web.stderr.match(/straight to a port/g) ?? []).length === 4);
  });

  it('ends at once what rules that forgot the sidecar send back to it', { skip }, async (t) => {
    const mesh = await startAll(t);
    const { app, peer, web } = mesh;
    await put(mesh, '--sidecar-user', String(otherUid));
    for (const address of [peer.address4, peer.address6]) {
      assert.notEqual((await callFrom(t, app, { address, port: greeting })).text, '220 hello\r\n');
      const answer = await callFrom(t, app, { address, port: shopHttp, send: request('x') });
      assert.doesNotMatch(answer.text, /200 OK/);
    }
    const made = () => web.stderr.match(/made it itself/g)?.length ?? 0;
    await eventually(() => made() >= 4);
    assert.ok(made() < 40, `${made()} rounds`);
    // With rules that know it, the same process works.
    await put(mesh);
    const answer = await callFrom(t, app, { address: peer.address4, port: shopHttp, send: request('x') });
    assert.match(answer.text, /200 OK/);
  });
});

describe('heddle agent intercept', () => {
  it('is as good twice as once, and removed without a trace', { skip }, async (t) => {
    const mesh = await startAll(t);
    const once = rulesetOf(mesh.app);
    await put(mesh);
    assert.equal(rulesetOf(mesh.app), once);
    assert.match(once, /table inet heddle_test\.web \{/);
    const removed = await mesh.intercept('--netns', mesh.app.name, '--remove');
    assert.match(removed.stdout, /not intercepted any more/);
    assert.equal(rulesetOf(mesh.app), '');
    const again = await mesh.intercept('--netns', mesh.app.name, '--remove');
    assert.deepEqual([again.code, again.stdout], [0, 'connections of test/web are not intercepted\n']);
    const direct = await callFrom(t, mesh.app, { address: mesh.peer.address4, port: greeting });
    assert.equal(direct.text, '220 hello\r\n');
  });

  it('takes only one user where a namespace is shared, and finds it by a process too', {
    skip,
  }, async (t) => {
    const mesh = await startAll(t);
    const { app, peer, web } = mesh;
    await mesh.intercept('--netns', app.name, '--remove');
    const args = ['--pid', String(web.pid), '--config', mesh.webFile, '--sidecar-user', '0'];
    const { code, stderr } = await mesh.intercept(...args, '--user', String(appUid));
    assert.equal(code, 0, stderr);
    const to = { address: peer.address4, port: shopHttp, send: request('x') };
    assert.match((await callFrom(t, app, to)).text, /x-request-id/);
    assert.doesNotMatch((await callFrom(t, app, { ...to, uid: otherUid })).text, /x-request-id/);
    const strict = { address: app.address4, port: webStrict, send: request('web') };
    assert.match((await callFrom(t, peer, strict)).text, /^HTTP\/1\.1 403 /);
    assert.match((await callFrom(t, peer, { ...strict, port: undeclared })).text, /x-from: raw/);
  });

  it('prints rules that nft takes, and changes nothing', { skip }, async (t) => {
    const mesh = await startIntercepted(t);
    const { code, stdout } = await mesh.intercept(...namespaceOf(mesh), '--sidecar-user', '0', '--dry-run');
    assert.equal(code, 0);
    assert.match(stdout, /meta l4proto tcp redirect to :15010/);
    assert.equal(rulesetOf(mesh.app), '');
  });

  it('says what is wrong', { skip }, async (t) => {
    const mesh = await startIntercepted(t);
    const says = async (...args: string[]) => {
      const { code, stderr } = await mesh.intercept(...args);
      assert.equal(code, 1);
      return stderr;
    };
    assert.match(await says(...namespaceOf(mesh)), /name its user \(--sidecar-user\)/);
    assert.match(await says('--remove', '--netns', 'none-such'), /no network namespace "none-such"/);
    assert.match(await says('--remove', '--pid', '4194999'), /no process 4194999/);
    assert.match(
      await says(...namespaceOf(mesh), '--sidecar-user', '0', '--workload', 'test/wep'),
      /is not of workload test\/wep but of test\/web/,
    );
    assert.match(
      await says('--config', mesh.webFile, '--sidecar-user', '0', '--dry-run'),
      /not known which connections here are those of test\/web/,
    );
    assert.match(
      await says(...namespaceOf(mesh), '--sidecar-user', '0', '--user', '0'),
      /cannot be told apart/,
    );
  });
});
