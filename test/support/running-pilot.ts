/** A whole pilot in this process, on free ports and an embedded store, with commands for tests. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '../../kit/clock.ts';
import { silentLog } from '../../kit/log.ts';
import { systemRandom } from '../../kit/random.ts';
import { readDocuments } from '../../mesh/document/read-documents.ts';
import { type Pilot, type PilotOptions, startPilot } from '../../pilot/pilot.ts';
import { defer } from './cleanup.ts';
import { tempFolder } from './temp-folder.ts';

export interface RunningPilot {
  readonly pilot: Pilot;
  readonly folder: string;
  /** Applies YAML documents; throws what the API answers otherwise. */
  apply(yaml: string): Promise<void>;
  token(node?: string): Promise<string>;
  /** What `GET path` of the API answers. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  get(path: string): Promise<any>;
}

export async function runningPilot(
  t: TestContext,
  options: Partial<PilotOptions> = {},
): Promise<RunningPilot> {
  const folder = options.dataFolder ?? join(tempFolder(t), 'pilot');
  const free = { host: '127.0.0.1', port: 0 };
  const pilot = await startPilot({
    dataFolder: folder,
    store: { kind: 'embedded', options: { embedded: { path: join(folder, 'pilot.db') } } },
    trustDomain: 'mesh.test',
    listen: free,
    joinListen: free,
    api: free,
    advertise: undefined,
    secret: { path: join(folder, 'ca-key'), source: 'file', mayCreate: true },
    leafLifetimeMs: undefined,
    allowShortLifetimes: false,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    signal: new AbortController().signal,
    ...options,
  });
  defer(t, () => pilot.close());
  const { token } = JSON.parse(readFileSync(join(folder, 'client.json'), 'utf8')) as { token: string };
  const request = async (method: string, path: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    const response = await fetch(`${pilot.apiUrl}${path}`, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  return {
    pilot,
    folder,
    async apply(yaml) {
      const changes = readDocuments(yaml).map((resource) => ({ put: resource }));
      await request('POST', '/v1/changes', { changes });
    },
    token: async (node) => (await request('POST', '/v1/tokens', node === undefined ? {} : { node })).token,
    get: (path) => request('GET', path),
  };
}
