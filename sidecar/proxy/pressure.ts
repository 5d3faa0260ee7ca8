/** What the request path has to know about a shortage of memory; the sidecar's overload watch writes it. */
export interface Pressure {
  /** Connections close after the answer at hand. */
  closesConnections: boolean;
  /** New requests are answered with 503. */
  sheds: boolean;
  /** Requests that were. */
  shed: number;
}

export function noPressure(): Pressure {
  return { closesConnections: false, sheds: false, shed: 0 };
}
