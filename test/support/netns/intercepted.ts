/**
 * A mesh over two network namespaces: `web` in `app`, whose connections are intercepted, and `shop` in `peer`, whose
 * sidecar takes links. Both sidecars run as root; programs of `web` as a user of their own.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Transparent } from '../../../mesh/bootstrap.ts';
import { defaultTimeouts } from '../../../mesh/defaults.ts';
import type { InboundPort, Snapshot } from '../../../mesh/model.ts';
import { formatStaticConfig } from '../../../proto/static-config.ts';
import type { Scope } from '../cleanup.ts';
import { type RunningProcess, runProcess } from '../processes.ts';
import { describePair, endpointsOf, type Side } from '../static-pair.ts';
import { tempFolder } from '../temp-folder.ts';
import { createNamespaces, type Namespace, startIn } from './namespaces.ts';

/** What `shop` serves to the mesh; its servers listen on the same ports. */
export const shopHttp = 8080;
export const shopTcp = 8090;
/** What `web` serves. */
export const webStrict = 7070;
export const webPermissive = 7080;
export const transparent: Transparent = {
  outboundPort: 15_010,
  inboundPort: 15_011,
  outboundPolicy: 'allow_any',
};
const linkPort = 15_443;

export interface Intercepted {
  readonly app: Namespace;
  readonly peer: Namespace;
  readonly web: RunningProcess;
  readonly shop: RunningProcess;
  readonly webFile: string;
  /** `heddle agent intercept` for `web`, with these arguments more. */
  intercept(...args: readonly string[]): ReturnType<typeof runProcess>;
}

export async function startIntercepted(
  t: Scope,
  policy: Transparent['outboundPolicy'] = 'allow_any',
): Promise<Intercepted> {
  const { app, peer } = createNamespaces(t);
  const { mesh, caller, receiver } = await describePair({
    ports: [
      { port: shopHttp, appPort: shopHttp, protocol: 'http' },
      { port: shopTcp, appPort: shopTcp, protocol: 'tcp' },
    ],
  });
  const everywhere = { hosts: ['0.0.0.0', '::'], port: linkPort };
  const shopSide = { ...receiver, bootstrap: { ...receiver.bootstrap, link: everywhere } };
  const webSide: Side = {
    ...caller,
    bootstrap: {
      ...caller.bootstrap,
      transparent: { ...transparent, outboundPolicy: policy },
      apps: [webStrict, webPermissive].map((port) => ({
        port,
        appHost: '127.0.0.1',
        appPort: port,
        plain: undefined,
      })),
    },
    snapshot: withEndpointsAt(peer, {
      ...caller.snapshot,
      self: {
        ...caller.snapshot.self,
        inbound: [inbound(webStrict, 'strict'), inbound(webPermissive, 'permissive')],
      },
    }),
  };
  const folder = tempFolder(t);
  const start = async (where: Namespace, { account, bootstrap, snapshot }: Side) => {
    const file = join(folder, `${account}.json`);
    const bundle = await mesh.bundle(account);
    writeFileSync(file, formatStaticConfig({ bootstrap, identity: { kind: 'inline', bundle }, snapshot }));
    const args = ['bin/heddle.mjs', 'sidecar', 'run', '--print-ready', '--config', file];
    const running = await startIn(t, where, args);
    await running.printed(/"ready":true/);
    return running;
  };
  const shop = await start(peer, shopSide);
  const web = await start(app, webSide);
  const webFile = join(folder, 'web.json');
  return {
    app,
    peer,
    web,
    shop,
    webFile,
    intercept: (...args) =>
      runProcess(t, {
        args: ['bin/heddle.mjs', 'agent', 'intercept', '--workload', 'test/web', ...args],
      }),
  };

  function withEndpointsAt(where: Namespace, snapshot: Snapshot): Snapshot {
    const sets = [shopHttp, shopTcp].map((port) => {
      const set = endpointsOf(mesh, port, [linkPort]);
      const addresses = [where.address4, where.address6];
      return { ...set, endpoints: set.endpoints.map((one) => ({ ...one, addresses })) };
    });
    return { ...snapshot, endpoints: new Map(sets.map((set) => [set.cluster, set])) };
  }
}

function inbound(port: number, mtls: InboundPort['mtls']): InboundPort {
  return {
    name: `p${port}`,
    port,
    protocol: 'http',
    mtls,
    shared: false,
    limits: { maxConnections: 100, maxRequests: 100 },
    timeouts: defaultTimeouts('http'),
  };
}

/** A request head as an application would send it that asks for one answer. */
export function request(host: string, path = '/', line = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${line}Connection: close\r\n\r\n`;
}
