/**
 * The names that both ends of a mesh connection show in the TLS handshake: the protocol by ALPN (RFC 7301) and
 * the port of the service that is meant by SNI, `PORT.SERVICE.NAMESPACE.mesh`.
 */
import type { ServiceRef } from '../../mesh/model.ts';
import type { Peer } from './conn.ts';

/** HTTP/2, as any HTTP/2 peer speaks it. */
export const linkProtocol = 'h2';

/** Bytes of the application, one TLS connection for one TCP connection. */
export const opaqueProtocol = 'heddle-tcp';

export interface ServerName {
  readonly port: number;
  readonly service: ServiceRef;
}

/** RFC 6066 §3 by way of RFC 1035: the longest host name. */
const maxServerNameLength = 255;
const shape = /^([1-9]\d{0,4})\.([a-z0-9][a-z0-9-]*)\.([a-z0-9][a-z0-9-]*)\.mesh$/;

export function serverNameOf(service: ServiceRef, port: number): string {
  return `${port}.${service.name}.${service.namespace}.mesh`;
}

/** What `serverName` asks for, or undefined where it has another form. */
export function parseServerName(serverName: string): ServerName | undefined {
  if (serverName.length > maxServerNameLength) return undefined;
  const [, port, name, namespace] = shape.exec(serverName) ?? [];
  if (port === undefined || name === undefined || namespace === undefined) return undefined;
  return Number(port) <= 65535 ? { port: Number(port), service: { namespace, name } } : undefined;
}

/** The port that a peer asked for in its handshake, or -1. */
export function portAskedBy({ tls }: Peer): number {
  return (tls?.serverName === undefined ? undefined : parseServerName(tls.serverName)?.port) ?? -1;
}
