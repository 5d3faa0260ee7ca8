/** Two methods that every Buffer has and the types leave out: latin1 without a look at an encoding's name. */
declare global {
  interface Buffer<TArrayBuffer extends ArrayBufferLike = ArrayBufferLike> {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, at: number): number;
  }
}

export {};
