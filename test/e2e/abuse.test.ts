/**
 * Every way in, left at every point of a conversation by RST, by FIN and with garbage: the process stays, serves
 * the next caller, and keeps nothing of the one that left.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { ask, startApp } from '../support/http-app.ts';
import {
  type Conversation,
  http1States,
  http2States,
  leave,
  leavings,
  type Target,
  tlsStates,
} from '../support/socket-abuse.ts';
import { type StaticPair, startStaticPair } from '../support/static-pair.ts';

const doors = ['outbound port', 'localhost port', 'plain port', 'admin port', 'link port', 'link'] as const;
type Door = (typeof doors)[number];

const statesOf: Record<Door, readonly Conversation[]> = {
  'outbound port': [...http1States, ...http2States, ...tlsStates],
  'localhost port': [...http1States, ...http2States],
  'plain port': [...http1States, ...http2States, ...tlsStates],
  'admin port': http1States.filter(({ hears }) => hears === undefined),
  'link port': [...tlsStates, ...http1States.slice(0, 3)],
  link: http2States,
};

describe('connections that are left badly', () => {
  const scope = suiteScope();
  let pair: StaticPair;
  let targets: Record<Door, Target>;

  before(async () => {
    const app = await startApp(scope);
    pair = await startStaticPair(scope, {
      ports: [{ port: 80, appPort: app.port, protocol: 'http', mtls: 'permissive' }],
    });
    const bundle = await pair.mesh.bundle('web');
    targets = {
      'outbound port': { port: pair.outboundPort },
      'localhost port': { port: pair.localPort(80) },
      'plain port': { port: pair.plainPort(80) },
      'admin port': { port: pair.callerAdmin },
      'link port': { port: pair.linkPort },
      link: { port: pair.linkPort, tls: { bundle, serverName: '80.shop.test.mesh' } },
    };
  });

  for (const door of doors) {
    it(door, async () => {
      for (const conversation of statesOf[door]) {
        for (const how of leavings) await leave(targets[door], conversation, how);
      }
      assert.equal((await ask(pair.outboundPort)).status, 200);
      assert.equal((await ask(pair.plainPort(80))).status, 200);
      assert.deepEqual([pair.caller.status, pair.receiver.status], [undefined, undefined]);
      // The caller's own link is the one connection that stays.
      const isClean = async () => {
        const left = await leftBehind(pair);
        if (left.join() !== '0 0 0,0 0 1') throw new Error(left.join());
        return true;
      };
      await eventually(isClean, { what: `nothing left behind at the ${door}`, withinMs: 30_000 });
    });
  }

  after(() => {
    for (const { stderr } of [pair.caller, pair.receiver])
      assert.doesNotMatch(stderr, /uncaught fault|exchange failed/);
  });
});

/** Requests in progress, requests in clusters, and connections from callers, of both sidecars. */
async function leftBehind(pair: StaticPair): Promise<string[]> {
  return await Promise.all(
    [pair.callerAdmin, pair.receiverAdmin].map(async (port) => {
      const metrics = (await ask(port, { path: '/metrics' })).body;
      const gauge = (name: string) => new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics)?.[1];
      const clusters = JSON.parse((await ask(port, { path: '/clusters' })).body) as { active: number }[];
      const active = clusters.reduce((sum, cluster) => sum + cluster.active, 0);
      return `${gauge('heddle_requests_active')} ${active} ${gauge('heddle_connections_open\\{side="downstream"\\}')}`;
    }),
  );
}
