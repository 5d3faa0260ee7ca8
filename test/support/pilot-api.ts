/** A pilot's HTTP API on a real socket over a real embedded store, as much of a pilot as the API needs. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '../../kit/clock.ts';
import { silentLog } from '../../kit/log.ts';
import { type Api, type ApiOptions, startApi } from '../../pilot/api/server.ts';
import type { SidecarStatus } from '../../pilot/api/sidecar-status.ts';
import { openEmbeddedStore } from '../../pilot/store/embedded.ts';
import type { Store } from '../../pilot/store/store.ts';
import { type ChangeApplier, createChangeApplier } from '../../pilot/world/apply-changes.ts';
import type { LiveWorld } from '../../pilot/world/live-world.ts';
import { createNodeReports, type NodeReports } from '../../pilot/world/node-reports.ts';
import { defer } from './cleanup.ts';
import { tempFolder } from './temp-folder.ts';
import { liveWorld } from './worlds.ts';

export interface PilotApi {
  readonly api: Api;
  readonly token: string;
  readonly store: Store;
  readonly live: LiveWorld;
  readonly applier: ChangeApplier;
  readonly reports: NodeReports;
  /** What `status` shows. */
  readonly sidecars: SidecarStatus[];
  /** A request with the token; the body as JSON unless it is text. */
  request(method: string, path: string, init?: RequestOptions): Promise<Reply>;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  readonly body: any;
}

export async function pilotApi(t: TestContext, options: Partial<ApiOptions> = {}): Promise<PilotApi> {
  const folder = join(tempFolder(t), 'pilot');
  mkdirSync(folder);
  const store = await openEmbeddedStore({ path: join(folder, 'pilot.db') });
  defer(t, () => store.close());
  const live = await liveWorld(t, store);
  const applier = createChangeApplier(store, live, systemClock);
  const reports = createNodeReports(store, systemClock);
  const token = 'test-token-0123456789';
  const sidecars: SidecarStatus[] = [];
  const api = await startApi({
    live,
    applier,
    reports,
    tokens: {
      createToken: ({ node, lifetimeMs = 600_000 }) =>
        Promise.resolve({
          token: `join-${node ?? 'any'}`,
          id: 'id-1',
          expiresMs: Date.UTC(2030, 0, 1) + lifetimeMs,
        }),
    },
    sidecars: { status: () => sidecars },
    store: store.kind,
    token,
    listen: { host: '127.0.0.1', port: 0 },
    clock: systemClock,
    log: silentLog,
    ...options,
  });
  defer(t, () => api.close());
  const request = async (method: string, path: string, init: RequestOptions = {}): Promise<Reply> => {
    const body =
      init.body === undefined || typeof init.body === 'string' ? init.body : JSON.stringify(init.body);
    const headers = { authorization: `Bearer ${token}`, connection: 'close', ...init.headers };
    const reply = await fetch(api.url + path, { method, headers, ...(body === undefined ? {} : { body }) });
    const text = await reply.text();
    return { status: reply.status, headers: reply.headers, body: text === '' ? undefined : JSON.parse(text) };
  };
  return { api, token, store, live, applier, reports, sidecars, request };
}

/** A service of one port, as an operator writes it. */
export function serviceYaml(name: string, port = 80, namespace = 'shop'): string {
  return `apiVersion: heddle/v1
kind: Service
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  selector: { app: ${name} }
  ports:
    - port: ${port}
`;
}
