/** The protocols there are; a new one is a folder here and a name in this list. */
import { registry } from '../../kit/registry.ts';
import type { Codec } from './codec.ts';
import { http1 } from './http1/http1.ts';
import { createHttp2Codec, type Http2CodecServices } from './http2/http2-codec.ts';

/** By name; one set per process, whose connections share buffers and budgets. */
export function createCodecs(services: Http2CodecServices): ReadonlyMap<string, Codec> {
  return registry('codec', [http1, createHttp2Codec(services)]);
}
