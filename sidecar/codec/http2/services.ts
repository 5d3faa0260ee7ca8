/** What HTTP/2 connections are made of. */
import type { Random } from '../../../kit/random.ts';
import type { Conn } from '../../net/conn.ts';
import type { ConnServices } from '../../net/socket-conn.ts';
import type { CodecOptions } from '../codec.ts';
import type { OutBuffer } from './out-buffer.ts';
import type { WindowBudget } from './window.ts';

/** What all HTTP/2 connections of a process share. */
export interface Http2Services extends ConnServices {
  readonly random: Random;
  readonly windowBudget: WindowBudget;
  /** Where a flush gathers its frames. */
  readonly out: OutBuffer;
}

export interface SessionInit {
  readonly conn: Conn;
  readonly services: Http2Services;
  readonly options: CodecOptions;
  readonly side: 'server' | 'client';
}
