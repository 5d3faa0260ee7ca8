/** Bounds of every connection. */
export const connectionLimits = {
  /** Unsent bytes from which `isFull` is true. */
  highMarkBytes: 128 * 1024,
  /** Unsent bytes at which a connection is given up: its writers do not heed `isFull`. */
  maxUnsentBytes: 1024 * 1024,
  /** How much we still read of a peer after we closed, and how long it has to read our last words and close. */
  lingerBytes: 64 * 1024,
  lingerMs: 1000,
  /** How long a closing connection may stand still with unsent bytes. */
  lingerStuckMs: 30_000,
  /** Over TLS a reset can look like the peer's FIN, and then nothing will move: where that came, it is looked at so soon. */
  lingerEndedMs: 3_000,
};

/** `highMarkBytes` while so many connections of the process are full: each is then one of many slow readers, and copies. */
export const crowdedMarkBytes = 64 * 1024;
export const crowdedConns = 64;
