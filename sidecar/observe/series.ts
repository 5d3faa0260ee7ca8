// hot: one look-up per request.
/** The metric series of one route or port: made when first counted, one per protocol and transport. */
import type { Metrics, RequestLabels } from './metrics.ts';

export type SeriesLabels = Omit<RequestLabels, 'protocol' | 'mtls'>;

export class SeriesSet {
  readonly #metrics: Metrics;
  readonly #labels: SeriesLabels;
  /** Index: grpc × 2 + mtls; -1 is not made yet. */
  readonly #ids = new Int32Array(4).fill(-1);

  constructor(metrics: Metrics, labels: SeriesLabels) {
    this.#metrics = metrics;
    this.#labels = labels;
  }

  id(isGrpc: boolean, isMtls: boolean): number {
    const at = (isGrpc ? 2 : 0) + (isMtls ? 1 : 0);
    const known = this.#ids[at] as number;
    if (known >= 0) return known;
    const protocol = isGrpc ? 'grpc' : 'http';
    const made = this.#metrics.series({ ...this.#labels, protocol, mtls: isMtls ? 'yes' : 'no' });
    this.#ids[at] = made;
    return made;
  }
}
