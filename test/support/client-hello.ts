/** ClientHellos of any form, built byte by byte. */

export interface HelloShape {
  readonly sessionId?: Buffer;
  readonly suites?: Buffer;
  readonly compressions?: Buffer;
  /** Type and content; undefined leaves the whole block out. */
  readonly extensions?: readonly (readonly [number, Buffer])[] | undefined;
}

/** The handshake message, header included. */
export function helloMessage(shape: HelloShape): Buffer {
  const { sessionId = Buffer.alloc(32, 7), suites = Buffer.from([0x13, 0x01]) } = shape;
  const { compressions = Buffer.from([0]), extensions } = shape;
  const block = (extensions ?? []).map(([type, content]) => Buffer.concat([uint16(type), vector16(content)]));
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 1),
    Buffer.from([sessionId.length]),
    sessionId,
    vector16(suites),
    Buffer.from([compressions.length]),
    compressions,
    ...(extensions === undefined ? [] : [vector16(Buffer.concat(block))]),
  ]);
  return Buffer.concat([Buffer.from([1, 0]), vector16(body)]);
}

/** The message in records of at most `recordBytes`. */
export function inRecords(message: Buffer, recordBytes = 16_384): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Buffer.from([22, 3, 1]), vector16(message.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(records);
}

/** The extension that names `names`, each as a host name. */
export function serverNames(...names: readonly string[]): readonly [number, Buffer] {
  const list = names.map((name) => Buffer.concat([Buffer.from([0]), vector16(Buffer.from(name, 'latin1'))]));
  return [0, vector16(Buffer.concat(list))];
}

/** A whole hello for `name`. */
export function helloFor(name: string): Buffer {
  return inRecords(helloMessage({ extensions: [[43, Buffer.from([2, 3, 4])], serverNames(name)] }));
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function vector16(content: Buffer): Buffer {
  return Buffer.concat([uint16(content.length), content]);
}
