import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { detectionLimits, detectProtocol, detectSocket } from '../../../../sidecar/net/detect.ts';
import { listen } from '../../../../sidecar/net/listener.ts';
import { SocketConn } from '../../../../sidecar/net/socket-conn.ts';
import { TimerWheel } from '../../../../sidecar/net/timer-wheel.ts';
import { defer } from '../../../support/cleanup.ts';
import { RecordingHandler, socketPair, testServices } from '../../../support/conn-pair.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { guardLeaks } from '../../../support/leak-guard.ts';

guardLeaks();

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

describe('detectProtocol', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['\x16\x03\x01\x02\x00', 'tls'],
    ['\x16\x05', 'unknown'],
    [preface, 'http2'],
    ['GET / HTTP/1.1\r\n', 'http1'],
    ['PRINT / HTTP/1.1\r\n', 'http1'],
    ['PRI / HTTP/1.1\r\n', 'http1'],
    ['\r\nGET / HTTP/1.1\r\n', 'http1'],
    ['PROPFIND /a HTTP/1.1\r\n', 'http1'],
    [`REPORT /${'a'.repeat(1024)}`, 'http1'],
    ['set key 0 0 3\r\nabc\r\n', 'unknown'],
    ['get key\r\n', 'unknown'],
    ['INVITE sip:a@b SIP/2.0\r\n', 'unknown'],
    ['SSH-2.0-OpenSSH\r\n', 'unknown'],
    ['*1\r\n$4\r\nPING\r\n', 'unknown'],
    ['\x00\x00\x00\x2a', 'unknown'],
    [`${'A'.repeat(40)} /`, 'unknown'],
  ];
  for (const [bytes, protocol] of cases) {
    it(`takes ${JSON.stringify(bytes.slice(0, 20))} for ${protocol}, in any number of pieces`, () => {
      const whole = Buffer.from(bytes, 'latin1');
      assert.equal(detectProtocol(whole), protocol);
      for (let size = 0; size < whole.length; size++) {
        const early = detectProtocol(whole.subarray(0, size));
        assert.ok(early === undefined || early === protocol, `${size} bytes: ${early}`);
      }
    });
  }
});

describe('detectSocket', () => {
  it('puts the bytes back for whoever takes the socket', async (t) => {
    const services = testServices();
    const handler = new RecordingHandler();
    const seen: string[] = [];
    const listener = await listen({ host: '127.0.0.1', port: 0 }, (socket) => {
      defer(t, () => void socket.destroy());
      detectSocket(socket, services, (protocol) => {
        seen.push(protocol);
        new SocketConn(socket, services, { origin: 'downstream' }).setHandler(handler);
      });
    });
    defer(t, () => listener.close());
    const client = connect(listener.port, '127.0.0.1');
    defer(t, () => void client.destroy());
    client.write('PR');
    setImmediate(() => client.write('I * HTTP/2.0\r\n\r\nSM\r\n\r\nrest'));
    await eventually(() => handler.text === `${preface}rest`);
    assert.deepEqual(seen, ['http2']);
  });

  it('leaves everything but TLS and HTTP/2 to HTTP/1.1 where only HTTP is expected, from its first byte', () => {
    for (const [bytes, protocol] of [
      ['G', 'http1'],
      ['PO', 'http1'],
      ['\0', 'http1'],
      ['!', 'http1'],
      ['P', undefined],
      ['\x16', undefined],
      ['\x16\x03', 'tls'],
      [preface, 'http2'],
    ] as const) {
      assert.equal(detectProtocol(Buffer.from(bytes, 'latin1'), true), protocol, JSON.stringify(bytes));
    }
  });

  it('closes a silent client where only HTTP is expected, and reports it where not', async (t) => {
    for (const onlyHttp of [true, false]) {
      const clock = new FakeClock();
      const { socket, client } = await socketPair(t);
      const seen: string[] = [];
      detectSocket(socket, { timers: new TimerWheel(clock), onlyHttp }, (protocol) => seen.push(protocol));
      clock.advance(detectionLimits.detectMs + 1000);
      assert.deepEqual([seen, socket.destroyed], onlyHttp ? [[], true] : [['unknown'], false]);
      socket.destroy();
      client.destroy();
    }
  });
});
