/** Large bodies, written as fast as the other side takes them. */
export interface PourState {
  /** Body bytes that the other side has taken. */
  sentBytes: number;
  /** Bodies that wait for it to take more. */
  blocked: number;
}

export interface PourSink {
  write(chunk: Buffer): boolean;
  end(chunk?: Buffer): void;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

const chunk = Buffer.alloc(16 * 1024, 'heddle--');

/** Writes a body of `size` bytes as fast as it is taken, and ends it. */
export function pour(size: number, sink: PourSink, state: PourState): void {
  let left = size;
  let isBlocked = false;
  const unblock = () => {
    if (isBlocked) state.blocked--;
    isBlocked = false;
  };
  const go = () => {
    unblock();
    while (left > 0) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      left -= part.length;
      state.sentBytes += part.length;
      if (left === 0) sink.end(part);
      else if (sink.write(part)) continue;
      if (left === 0) return;
      isBlocked = true;
      state.blocked++;
      sink.once('drain', go);
      return;
    }
  };
  sink.once('close', () => {
    unblock();
    sink.off('drain', go);
  });
  go();
}
