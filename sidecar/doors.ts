/** The listening sockets that a bootstrap names, each with the name under which processes hand it on. */
import type { Bootstrap } from '../mesh/bootstrap.ts';
import { serviceKey } from '../mesh/model.ts';

export interface Door {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Loopback addresses that local doors are opened on. */
export const localHosts: readonly string[] = ['127.0.0.1', '::1'];

/** Every address of the machine; the second only where it speaks IPv6. */
export const everyAddress: readonly string[] = ['0.0.0.0', '::'];

export const outboundDoor = 'outbound';
export const linkDoor = 'link';
/** Where redirected connections come in, see `Bootstrap.transparent`. */
export const takenOutboundDoor = 'taken outbound';
export const takenInboundDoor = 'taken inbound';
export const localDoor = (service: Bootstrap['localPorts'][number]): string =>
  `local ${serviceKey(service.service)} ${service.port}`;
export const plainDoor = (port: number): string => `plain ${port}`;

/** The full name of a door's socket on one address. */
export function socketName(door: string, host: string): string {
  return `${door} ${host}`;
}

/** Every door; the link's only where there is an identity to show on it. */
export function doorsOf(bootstrap: Bootstrap, hasIdentity: boolean): Door[] {
  const at = (door: string, hosts: readonly string[], port: number): Door[] =>
    hosts.map((host) => ({ name: socketName(door, host), host, port }));
  const { link, outbound, localPorts, apps, transparent } = bootstrap;
  return [
    ...at(outboundDoor, localHosts, outbound.port),
    ...localPorts.flatMap((local) => at(localDoor(local), localHosts, local.localPort)),
    ...(link === undefined || !hasIdentity ? [] : at(linkDoor, link.hosts, link.port)),
    ...(transparent === undefined
      ? []
      : [
          ...at(takenOutboundDoor, localHosts, transparent.outboundPort),
          ...at(takenInboundDoor, everyAddress, transparent.inboundPort),
        ]),
    ...apps.flatMap(({ port, plain }) =>
      plain === undefined ? [] : at(plainDoor(port), plain.hosts, plain.port),
    ),
  ];
}
