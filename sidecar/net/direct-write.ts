// hot: every write of a plain connection.
/**
 * Writes past the stream. Nearly everything that a plain socket is given leaves at once, and then a stream's
 * bookkeeping around the system call is for nothing (docs/adr/0017-what-the-path-costs.md). So the handle below is
 * asked itself. What the kernel does not take waits there in libuv's queue, in front of all that is written later.
 *
 * The handle's calls are Node's own affair: where a Node has others, writes go through the stream as ever.
 */
import type { Buffer } from 'node:buffer';
import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { Outgoing } from './pieces.ts';

/** Is told when what had to wait has left, or why it will not. */
export interface DirectWriter {
  written(error: Error | undefined): void;
}

/** `waits`: `written` follows. `refused`: nothing was done, and the stream will tell why. */
export type DirectWrite = 'left' | 'waits' | 'refused';

/** Writes `data`. Nothing may wait in the socket's stream, or before this in its handle. */
export function writeDirectly(socket: Socket, data: Outgoing, writer: DirectWriter): DirectWrite {
  const handle = (socket as unknown as Inner)._handle;
  if (!isOffered || !handle) return 'refused';
  let answer: Answer;
  if (typeof data === 'string') answer = handle.writeLatin1String(null, data);
  else if (Array.isArray(data)) answer = handle.writev(null, data, true);
  else answer = handle.writeBuffer(null, data);
  if (answer === 0) return 'left';
  // It failed, and will fail again.
  if (typeof answer === 'number') return 'refused';
  answer.writer = writer;
  answer.data = data;
  answer.oncomplete = onComplete;
  return 'waits';
}

function onComplete(this: WriteRequest, status: number): void {
  this.writer?.written(status < 0 ? writeError(status) : undefined);
}

function writeError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: 'write' });
}

/** A write that waits. */
interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  writer?: DirectWriter;
  /** Held until it has left. */
  data?: Outgoing;
}

/** An error number, 0 when all has left, or the request that waits. */
type Answer = number | WriteRequest;

interface Handle {
  writeLatin1String(request: null, text: string): Answer;
  writeBuffer(request: null, bytes: Buffer): Answer;
  writev(request: null, pieces: Buffer[], areBuffers: true): Answer;
}

interface Inner {
  readonly _handle?: Handle | null;
}

/** Whether this Node calls its handles so: earlier ones hand a request in, and end the process where it is missing. */
const isOffered = offersDirectWrites();

function offersDirectWrites(): boolean {
  let asked: unknown;
  const write = (request: unknown): number => {
    asked = request;
    return 0;
  };
  const handle = {
    writeLatin1String: write,
    writeBuffer: write,
    writev: write,
    ...{ getAsyncId: () => 0, readStart: () => 0, readStop: () => 0, close: (done: () => void) => done() },
  };
  try {
    const options = { handle, manualStart: true } as object;
    const socket = new Socket(options);
    socket.on('error', () => {});
    socket.write('?', 'latin1');
    socket.destroy();
  } catch {
    return false;
  }
  return asked === null;
}
