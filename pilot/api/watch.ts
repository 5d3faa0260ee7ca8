/**
 * `/v1/watch`: changes of resources as server-sent events. A client first gets everything as `put`s, then
 * `synced`, then each change; each revision's last event carries the id `EPOCH.REVISION`, from which
 * Last-Event-ID goes on, without what was seen. Where that is too long ago it gets `reset` and everything.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../kit/clock.ts';
import type { WorldChange } from '../world/fold.ts';
import type { LiveWorld } from '../world/live-world.ts';
import type { StoredResource, World } from '../world/world.ts';
import { HttpProblem } from './problem.ts';
import { bodyOf } from './resources.ts';
import type { ApiRequest, Route } from './router.ts';

/** Revisions whose changed names are remembered for clients that come back. */
const maxRemembered = 1_000;
/** A client that reads more slowly than things change is cut off at this; it comes back and goes on. */
const maxUnsentBytes = 8 * 1024 * 1024;
const maxWatchers = 256;
const keepAliveEveryMs = 15_000;

export interface WatchApi {
  readonly routes: readonly Route[];
  close(): void;
}

interface Watcher {
  readonly response: ServerResponse;
  readonly kind: string | null;
  readonly namespace: string | null;
}

interface Remembered {
  readonly revision: number;
  readonly names: ReadonlySet<string>;
}

export function createWatchApi(live: LiveWorld, clock: Clock): WatchApi {
  const watchers = new Set<Watcher>();
  let epoch = live.current.version.epoch;
  /** Everything after this revision is in `remembered`. */
  let knownSince = live.current.version.revision;
  let remembered: Remembered[] = [];

  const unsubscribe = live.subscribe((world, change) => {
    if (world.version.epoch !== epoch) {
      epoch = world.version.epoch;
      knownSince = world.version.revision;
      remembered = [];
      for (const watcher of watchers) sendAll(watcher, world, true);
      return;
    }
    if (change.resources.size === 0) return;
    remember(world, change);
    for (const watcher of watchers) sendChanges(watcher, world, change.resources);
  });
  const beating = clock.every(keepAliveEveryMs, () => {
    for (const { response } of watchers) response.write(': alive\n\n');
  });

  function remember(world: World, change: WorldChange): void {
    remembered.push({ revision: world.version.revision, names: change.resources });
    while (remembered.length > maxRemembered) knownSince = remembered.shift()?.revision ?? knownSince;
  }

  function open({ message, response, query }: ApiRequest): undefined {
    if (watchers.size >= maxWatchers)
      throw new HttpProblem(503, 'overloaded', `${maxWatchers} watches are open`);
    const watcher = { response, kind: query.get('kind'), namespace: query.get('namespace') };
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    watchers.add(watcher);
    response.on('close', () => watchers.delete(watcher));
    const last = message.headers['last-event-id'];
    const names = last === undefined ? undefined : namesSince(String(last));
    if (names === undefined) sendAll(watcher, live.current, last !== undefined);
    else sendChanges(watcher, live.current, names, 'always');
    return undefined;
  }

  function namesSince(id: string): Set<string> | undefined {
    const [, seenEpoch, seenRevision] = /^(\d+)\.(\d+)$/.exec(id) ?? [];
    const revision = Number(seenRevision);
    if (Number(seenEpoch) !== epoch || revision < knownSince || revision > live.current.version.revision) {
      return undefined;
    }
    return new Set(
      remembered.filter((entry) => entry.revision > revision).flatMap(({ names }) => [...names]),
    );
  }

  return {
    routes: [{ method: 'GET', path: '/v1/watch', handle: open }],
    close() {
      unsubscribe();
      beating.cancel();
      for (const { response } of watchers) response.end();
      watchers.clear();
    },
  };
}

function sendAll(watcher: Watcher, world: World, isReset: boolean): void {
  let text = isReset ? 'event: reset\ndata: {}\n\n' : '';
  for (const table of world.resources.values()) {
    for (const stored of table.values()) {
      if (wants(watcher, stored.resource.kind, stored.resource.metadata.namespace)) text += putEvent(stored);
    }
  }
  write(watcher, `${text}${syncedEvent(world)}`);
}

/** `always`: also where nothing is of interest, so that the client has an id to go on from. */
function sendChanges(
  watcher: Watcher,
  world: World,
  names: ReadonlySet<string>,
  when: 'always' | 'if_any' = 'if_any',
): void {
  let text = '';
  for (const entry of names) {
    const [kind = '', path = ''] = entry.split(' ');
    const [namespace = '', name = ''] = path.split('/');
    if (!wants(watcher, kind, namespace)) continue;
    const stored = world.resources.get(kind)?.get(path);
    text += stored === undefined ? event('delete', { kind, namespace, name }) : putEvent(stored);
  }
  if (text !== '' || when === 'always') write(watcher, `${text}${syncedEvent(world)}`);
}

function wants(watcher: Watcher, kind: string, namespace: string): boolean {
  return (watcher.kind ?? kind) === kind && (watcher.namespace ?? namespace) === namespace;
}

function putEvent(stored: StoredResource): string {
  return event('put', bodyOf(stored));
}

function syncedEvent(world: World): string {
  const { epoch, revision } = world.version;
  return `id: ${epoch}.${revision}\n${event('synced', world.version)}`;
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function write({ response }: Watcher, text: string): void {
  response.write(text);
  if (response.writableLength > Math.max(maxUnsentBytes, 2 * text.length)) response.destroy();
}
