/**
 * Tells a TCP connection that was reset below TLS from one that ended. TLS says 'end' for both: a reset that meets
 * something that we write (a session ticket, the alert before our FIN) is told to the write, which nobody asks, and what is
 * read afterwards is an end. These look below, at what Node keeps of the socket there.
 */
import { Socket } from 'node:net';
import { constants } from 'node:os';

interface Shutdown {
  callback: (error?: Error | null) => void;
  oncomplete: (status: number) => void;
}

interface Handle {
  getpeername?(out: object): number;
  shutdown(request: Shutdown): number;
}

interface Below {
  readonly _parent?: (Socket & Below) | null;
  readonly _handle?: Handle | null;
}

/** Calls back once our FIN has left, or with why it has not. */
type Done = (error?: Error | null) => void;

const notConnected = -constants.errno.ENOTCONN;
const wasReset = -constants.errno.ECONNRESET;

/** The TCP socket below TLS, which is the one that can send RST; undefined of a plain socket. */
export function belowOf(socket: Socket): Socket | undefined {
  return (socket as Below)._parent ?? undefined;
}

/** Whether the TCP connection below TLS is gone; to be asked until our FIN has left, from then on an end looks like that too. */
export function isCut(socket: Socket): boolean {
  const below = belowOf(socket) as Below | undefined;
  const failure = below?._handle?.getpeername?.({});
  return failure !== undefined && failure !== 0;
}

/** Sends TLS's alert and our FIN after the last write, as Node does, but not without a word where a reset came before. */
export function finishUnlessCut(socket: Socket, done: Done): void {
  const handle = (socket as Below)._handle;
  if (isCut(socket)) {
    done(cutError());
    return;
  }
  if (handle) handle.shutdown = shutdown;
  Socket.prototype._final.call(socket, done);
}

/** In place of the handle's own. There is no connection to shut down: Node takes that for as good as done. */
function shutdown(this: Handle, request: Shutdown): number {
  const complete = request.oncomplete;
  request.oncomplete = function (status) {
    if (status === notConnected) this.callback(cutError());
    else complete.call(this, status);
  };
  const failure = (Object.getPrototypeOf(this) as Handle).shutdown.call(this, request);
  return failure === notConnected ? wasReset : failure;
}

function cutError(): Error {
  return Object.assign(new Error('reset before the end'), { code: 'ECONNRESET' });
}
