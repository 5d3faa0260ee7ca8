import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, it } from 'node:test';
import { addressTowards, formatHostPort, parseHostPort } from '../../../../node-agent/pilot/address.ts';

describe('pilot address', () => {
  it('is a host or a literal address with a port, and reads as it is written', () => {
    for (const text of ['pilot.example:15012', '10.0.0.5:1', '[fd00::1]:65535']) {
      assert.equal(formatHostPort(parseHostPort(text)), text);
    }
  });

  it('is refused by its text where it is something else', () => {
    for (const text of [
      '',
      'pilot',
      'pilot:',
      ':80',
      'pilot:0',
      'pilot:65536',
      'fd00::1:80',
      'http://pilot:80',
      'a b:1',
    ]) {
      assert.throws(
        () => parseHostPort(text),
        new RegExp(`^MeshError: pilot address ${JSON.stringify(text)} is not`),
      );
    }
  });

  it('leads back by an address of our own', async () => {
    assert.equal(await addressTowards({ host: '127.0.0.1', port: 9 }), '127.0.0.1');
    assert.notEqual(isIP(await addressTowards({ host: 'no.such.host.invalid', port: 9 })), 0);
  });
});
