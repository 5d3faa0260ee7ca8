import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { connect } from 'node:tls';
import { MeshError } from '../../../../kit/errors.ts';
import { type ClientHello, ClientHelloReader } from '../../../../sidecar/net/client-hello.ts';
import {
  type HelloShape,
  helloFor,
  helloMessage,
  inRecords,
  serverNames,
} from '../../../support/client-hello.ts';

/** What whole and byte-by-byte reading agree on. */
function read(bytes: Buffer): ClientHello | undefined {
  const whole = new ClientHelloReader().push(bytes);
  const reader = new ClientHelloReader();
  let split: ClientHello | undefined;
  for (let at = 0; at < bytes.length && split === undefined; at++)
    split = reader.push(bytes.subarray(at, at + 1));
  assert.deepEqual(split, whole);
  return whole;
}

function hello(shape: HelloShape, recordBytes?: number): ClientHello | undefined {
  return read(inRecords(helloMessage(shape), recordBytes));
}

function refused(bytes: Buffer, why: RegExp, code = 'malformed_message'): void {
  assert.throws(
    () => new ClientHelloReader().push(bytes),
    (thrown: unknown) => thrown instanceof MeshError && thrown.code === code && why.test(thrown.message),
  );
}

/** What Node's own client says first. */
async function realHello(servername: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({ read() {}, write: (chunk: Buffer) => resolve(chunk) });
    connect({ socket: wire, servername, ALPNProtocols: ['h2', 'http/1.1'] }).on('error', () => {});
  });
}

describe('ClientHelloReader', () => {
  it('finds the server name, in lower case', () => {
    assert.deepEqual(read(helloFor('API.Example.com')), { serverName: 'api.example.com' });
  });

  it('reads what a real client sends', async () => {
    assert.deepEqual(read(await realHello('vault.shop.mesh')), { serverName: 'vault.shop.mesh' });
    assert.deepEqual(read(await realHello('')), { serverName: undefined });
  });

  it('reads a hello that is spread over records', () => {
    assert.deepEqual(hello({ extensions: [serverNames('a.b')] }, 7), { serverName: 'a.b' });
  });

  it('takes a hello without extensions, and one without a name', () => {
    assert.deepEqual(hello({ extensions: undefined }), { serverName: undefined });
    assert.deepEqual(hello({ extensions: [] }), { serverName: undefined });
  });

  it('waits for the rest of a hello that is cut', () => {
    const bytes = helloFor('a.b');
    assert.equal(new ClientHelloReader().push(bytes.subarray(0, -1)), undefined);
  });

  it('refuses what is no TLS at its first byte that is not', () => {
    refused(Buffer.from('GET / HTTP/1.1\r\n'), /no TLS handshake record/);
    refused(Buffer.from([22, 2]), /no version/);
    refused(Buffer.from([22, 3, 1, 0, 0]), /record length/);
    refused(Buffer.from([22, 3, 1, 0xff, 0xff]), /record length/);
    refused(Buffer.from([22, 3, 1, 0, 4, 2]), /does not begin with a ClientHello/);
  });

  it('refuses hellos that are too large or cut too small', () => {
    refused(Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x40, 1]), /16385 bytes/, 'head_too_large');
    const name = serverNames('a.b');
    refused(inRecords(helloMessage({ extensions: [name] }), 1), /64 records/, 'head_too_large');
  });

  it('refuses broken vectors', () => {
    const refuse = (shape: HelloShape, why: RegExp) => refused(inRecords(helloMessage(shape)), why);
    refuse({ suites: Buffer.alloc(3) }, /cipher suites/);
    refuse({ suites: Buffer.alloc(0) }, /cipher suites/);
    refuse({ compressions: Buffer.alloc(0) }, /compression/);
    refuse({ sessionId: Buffer.alloc(33) }, /session id/);
    refuse({ extensions: [serverNames('a'), serverNames('b')] }, /twice/);
    refuse({ extensions: [serverNames('a', 'b')] }, /more than one/);
    refuse({ extensions: [serverNames()] }, /cut/);
    refuse({ extensions: [[0, Buffer.from([0, 9, 0])]] }, /cut/);
    refused(
      Buffer.concat([inRecords(Buffer.concat([helloMessage({}), Buffer.from([0])]))]),
      /after the Client/,
    );
  });

  it('refuses names that are none', () => {
    for (const name of [
      '',
      'a..b',
      '.a',
      'a.',
      '10.0.0.1',
      '::1',
      'a b',
      'a\0b',
      'ä.de',
      `${'x'.repeat(64)}.de`,
    ]) {
      refused(inRecords(helloMessage({ extensions: [serverNames(name)] })), /server name/);
    }
  });
});
