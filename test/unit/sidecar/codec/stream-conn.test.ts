import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClientStreamConn } from '../../../../sidecar/codec/stream-conn.ts';
import type { ConnHandler } from '../../../../sidecar/net/conn.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeClientStream } from '../../../support/fake-codec.ts';

/** What a handler hears, in its order. */
class Recorder implements ConnHandler {
  readonly heard: string[] = [];
  onData(chunk: Buffer): void {
    this.heard.push(`data ${chunk.length}`);
  }
  onEnd(): void {
    this.heard.push('end');
  }
  onWritable(): void {
    this.heard.push('writable');
  }
  onClosed(): void {
    this.heard.push('closed');
  }
}

function connected(end: boolean) {
  const peer = { address: '127.0.0.1', port: 1, tls: undefined };
  const conn = new ClientStreamConn(peer, { onConnected() {}, onRefused() {} });
  conn.start(new FakeClientStream());
  conn.onResponse({ status: 200, fields: [], contentLength: -1 }, end);
  return conn;
}

describe('a connection on a link', () => {
  it('tells the end that came before anybody listened, also where ours follows at once', async () => {
    for (const how of ['finish', 'close'] as const) {
      const conn = connected(true);
      const handler = new Recorder();
      conn.setHandler(handler);
      conn[how]();
      await eventually(() => handler.heard.at(-1) === 'closed');
      assert.deepEqual(handler.heard, how === 'finish' ? ['end', 'closed'] : ['closed']);
    }
  });

  it('is over once both sides have ended, in either order', () => {
    for (const first of ['ours', 'theirs'] as const) {
      const conn = connected(false);
      const handler = new Recorder();
      conn.setHandler(handler);
      if (first === 'ours') conn.finish();
      conn.onResponseEnd(undefined);
      assert.deepEqual(handler.heard, first === 'ours' ? ['end', 'closed'] : ['end']);
      if (first === 'theirs') conn.finish();
      assert.deepEqual(handler.heard, ['end', 'closed']);
    }
  });
});
