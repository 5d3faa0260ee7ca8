import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { exposedIn, exposedPorts } from '../../../sidecar/exposure.ts';

const header = '  sl  local_address rem_address   st tx_queue';

describe('exposed ports', () => {
  it("reads listening sockets beyond loopback from the kernel's table", () => {
    const table = [
      header,
      '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000', // 127.0.0.1:8080, listening
      '   1: 00000000:1F91 00000000:0000 0A 00000000:00000000', // 0.0.0.0:8081, listening
      '   2: 00000000:1F92 0100007F:0001 01 00000000:00000000', // established
    ].join('\n');
    assert.deepEqual(exposedIn(table), [8081]);
  });

  it('knows loopback in IPv6 and in IPv4 addresses written as IPv6', () => {
    const table = [
      header,
      '   0: 00000000000000000000000001000000:1F90 0:0 0A 0', // ::1
      '   1: 0000000000000000FFFF00000100007F:1F91 0:0 0A 0', // ::ffff:127.0.0.1
      '   2: 00000000000000000000000000000000:1F92 0:0 0A 0', // ::
    ].join('\n');
    assert.deepEqual(exposedIn(table), [8082]);
  });

  it('finds a real socket on every address and not one on loopback', async (t) => {
    const listen = async (host: string) => {
      const server = createServer().listen(0, host);
      await once(server, 'listening');
      t.after(() => server.close());
      return (server.address() as AddressInfo).port;
    };
    const [open, local] = [await listen('0.0.0.0'), await listen('127.0.0.1')];
    assert.deepEqual(await exposedPorts([open, local]), [open]);
  });
});
