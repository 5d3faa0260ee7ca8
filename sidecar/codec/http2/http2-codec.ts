/** HTTP/2 (RFC 9113) as one of the data path's codecs: links between sidecars, and ordinary h2 and h2c peers. */
import type { Random } from '../../../kit/random.ts';
import type { ConnServices } from '../../net/socket-conn.ts';
import type { Codec } from '../codec.ts';
import { ClientSession } from './client-session.ts';
import { limits } from './limits.ts';
import { OutBuffer } from './out-buffer.ts';
import { ServerSession } from './server-session.ts';
import type { Http2Services } from './services.ts';
import { WindowBudget } from './window.ts';

export interface Http2CodecServices extends ConnServices {
  readonly random: Random;
  /** All stream windows of the process grow within it; a new one by default. */
  readonly windowBudget?: WindowBudget;
}

/** Frames of a turn gather in slabs of this size; many connections share one. */
const slabBytes = 65_536;

/** The HTTP/2 codec; one per process, because its connections share the flush buffer and the window budget. */
export function createHttp2Codec(init: Http2CodecServices): Codec {
  const services: Http2Services = {
    flusher: init.flusher,
    timers: init.timers,
    random: init.random,
    windowBudget: init.windowBudget ?? new WindowBudget(limits.windowGrowthPerProcess),
    out: new OutBuffer(slabBytes),
  };
  return {
    name: 'http2',
    alpn: 'h2',
    serve: (conn, acceptor, options) => new ServerSession({ conn, services, options }, acceptor),
    connect: (conn, owner, options) => new ClientSession({ conn, services, options }, owner),
  };
}
