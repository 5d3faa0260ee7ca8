/**
 * Every way in, left at every point of a conversation by RST, by FIN and with garbage: the process stays, serves
 * the next caller, and keeps nothing of the one that left.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { suiteScope } from '../support/cleanup.ts';
import { ask, startApp } from '../support/http-app.ts';
import { nothingLeft } from '../support/left-behind.ts';
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
      await nothingLeft(pair, `nothing left behind at the ${door}`);
    });
  }

  after(() => {
    for (const { stderr } of [pair.caller, pair.receiver])
      assert.doesNotMatch(stderr, /uncaught fault|exchange failed/);
  });
});
