// hot: several times per request.
/**
 * The open streams of a connection. Ids of one side grow by two, so a stream's place in a ring follows from its id; a
 * `Map` hashes, and with streams that come and go it is built anew each few dozen requests, 4 % of the path's time.
 *
 *   place = id / 2 mod size      taken by an older stream (a WebSocket, say): that one goes aside, into a Map
 */
import type { Http2Stream } from './stream.ts';

/** Places of a new connection; it grows to twice what is open at once, and what is open is bounded. */
const firstPlaces = 64;

export class StreamTable {
  /** How many are open. */
  size = 0;
  #places: (Http2Stream | undefined)[] = emptyPlaces(firstPlaces);
  #aside: Map<number, Http2Stream> | undefined = undefined;

  get(id: number): Http2Stream | undefined {
    const stream = this.#places[placeOf(id, this.#places.length)];
    if (stream !== undefined && stream.id === id) return stream;
    return this.#aside?.get(id);
  }

  has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  /** Under its id, which is not yet in the table. */
  add(stream: Http2Stream): void {
    if (this.size * 2 >= this.#places.length) this.#grow();
    this.size++;
    this.#put(stream);
  }

  /** False where there is none. */
  delete(id: number): boolean {
    const place = placeOf(id, this.#places.length);
    if (this.#places[place]?.id === id) this.#places[place] = undefined;
    else if (this.#aside?.delete(id) !== true) return false;
    this.size--;
    return true;
  }

  /** Empties it. */
  clear(): void {
    this.size = 0;
    this.#places = emptyPlaces(firstPlaces);
    this.#aside = undefined;
  }

  /** Those that are open now, in no certain order; the table may change while they are gone through. */
  values(): Http2Stream[] {
    const found: Http2Stream[] = [];
    if (this.size === 0) return found;
    for (const stream of this.#places) if (stream !== undefined) found.push(stream);
    if (this.#aside !== undefined) for (const stream of this.#aside.values()) found.push(stream);
    return found;
  }

  #put(stream: Http2Stream): void {
    const place = placeOf(stream.id, this.#places.length);
    const older = this.#places[place];
    this.#places[place] = stream;
    if (older === undefined) return;
    this.#aside ??= new Map();
    this.#aside.set(older.id, older);
  }

  #grow(): void {
    const streams = this.values();
    this.#places = emptyPlaces(this.#places.length * 2);
    this.#aside = undefined;
    for (const stream of streams) this.#put(stream);
  }
}

function placeOf(id: number, places: number): number {
  return (id >>> 1) & (places - 1);
}

function emptyPlaces(count: number): (Http2Stream | undefined)[] {
  return new Array<Http2Stream | undefined>(count).fill(undefined);
}
