import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MeshError } from '../../../kit/errors.ts';
import { encodeFrame, FrameReader } from '../../../proto/frame.ts';
import { maxMessageBytes } from '../../../proto/protocol.ts';

const messages = ['', 'a', 'some longer message'].map((text) => Buffer.from(text));
const stream = Buffer.concat(messages.map(encodeFrame));

describe('FrameReader', () => {
  it('finds the messages whatever the chunks', () => {
    for (let size = 1; size <= stream.length; size += 1) {
      const reader = new FrameReader();
      const read: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) {
        read.push(...reader.push(stream.subarray(at, at + size)));
      }
      assert.deepEqual(read.map(String), messages.map(String));
      assert.equal(reader.held, 0);
    }
  });

  it('tells that a message was cut off', () => {
    const reader = new FrameReader();
    reader.push(stream.subarray(0, stream.length - 1));
    assert.notEqual(reader.held, 0);
  });

  it('refuses a length above the limit before it holds the message', () => {
    const reader = new FrameReader();
    const head = Buffer.alloc(4);
    head.writeUInt32BE(maxMessageBytes + 1);
    assert.throws(
      () => reader.push(head),
      (error) => error instanceof MeshError && error.code === 'malformed_message',
    );
  });

  it('refuses to send a message above the limit', () => {
    assert.throws(() => encodeFrame(Buffer.alloc(maxMessageBytes + 1)), /at most/);
  });
});
