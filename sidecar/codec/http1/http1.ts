/** HTTP/1.1 as one of the data path's protocols: RFC 9110, RFC 9112. */
import type { Codec } from '../codec.ts';
import { Http1ClientConnection } from './client-connection.ts';
import { Http1ServerConnection } from './server-connection.ts';

export const http1: Codec = {
  name: 'http1',
  alpn: 'http/1.1',
  serve: (conn, acceptor, options) => new Http1ServerConnection(conn, acceptor, options),
  connect: (conn, owner, options) => new Http1ClientConnection(conn, owner, options),
};
