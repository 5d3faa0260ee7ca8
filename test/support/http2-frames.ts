/** HTTP/2 frames for scripts: written by hand, byte for byte, and read back independently of the codec. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, i * 4);
  return bytes;
}

export const data = (stream: number, payload: Buffer | string, flags = 0): Buffer =>
  frame(0, flags, stream, typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload);
/** END_HEADERS (4) and END_STREAM (1) by default. */
export const headers = (stream: number, block: Buffer, flags = 5): Buffer => frame(1, flags, stream, block);
export const priority = (stream: number, on: number): Buffer =>
  frame(2, 0, stream, Buffer.concat([u32(on), Buffer.from([16])]));
export const rst = (stream: number, code: number): Buffer => frame(3, 0, stream, u32(code));
export const ping = (payload: Buffer = Buffer.from('pingping'), flags = 0): Buffer =>
  frame(6, flags, 0, payload);
export const goaway = (last: number, code: number): Buffer => frame(7, 0, 0, u32(last, code));
export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(8, 0, stream, u32(increment));
export const continuation = (stream: number, block: Buffer, flags = 4): Buffer =>
  frame(9, flags, stream, block);

export function settings(entries: readonly (readonly [number, number])[] = [], flags = 0): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  for (const [i, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return frame(4, flags, 0, payload);
}

/** A header block of literals without indexing: plain bytes that any decoder understands. */
export function block(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) parts.push(Buffer.from([0]), string(name), string(value));
  return Buffer.concat(parts);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([integer(bytes.length, 127), bytes]);
}

/** An HPACK integer with a prefix of `mask`. */
export function integer(value: number, mask: number, flags = 0): Buffer {
  if (value < mask) return Buffer.from([flags | value]);
  const bytes = [flags | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The frames in `bytes`; an incomplete last one is an error. */
export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let at = bytes.subarray(0, preface.length).equals(preface) ? preface.length : 0;
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) throw new Error(`incomplete frame at ${at}`);
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      stream: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}
