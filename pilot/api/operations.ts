/** `/v1/status`, `/v1/nodes`, `/v1/instances` and `/v1/tokens`: the mesh as it runs, and who may join it. */
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import type { LiveWorld } from '../world/live-world.ts';
import type { NodeReports } from '../world/node-reports.ts';
import type { World } from '../world/world.ts';
import { HttpProblem } from './problem.ts';
import { Answer, type ApiRequest, type Route, readJson } from './router.ts';
import type { InstanceBody, ListBody, NodeBody, StatusBody, TokenBody } from './shapes.ts';
import type { StatusSource } from './sidecar-status.ts';

/** Who makes join tokens: `certs/registrar.ts`. */
export interface TokenIssuer {
  createToken(options: { readonly node?: string; readonly lifetimeMs?: number }): Promise<{
    readonly token: string;
    readonly id: string;
    readonly expiresMs: number;
  }>;
}

export interface OperationRoutesOptions {
  readonly live: LiveWorld;
  readonly reports: NodeReports;
  readonly tokens: TokenIssuer;
  readonly sidecars: StatusSource;
  /** The store's kind, to show. */
  readonly store: string;
}

export function operationRoutes(options: OperationRoutesOptions): Route[] {
  const { live, reports } = options;
  return [
    { method: 'GET', path: '/v1/status', handle: () => status(options) },
    { method: 'GET', path: '/v1/nodes', handle: () => nodes(live.current) },
    {
      method: 'DELETE',
      path: '/v1/nodes/:name',
      async handle({ params }) {
        const name = params['name'] ?? '';
        if (await reports.removeNode(name)) return new Answer(204, undefined);
        throw new HttpProblem(404, 'not_found', `there is no node ${name}`);
      },
    },
    { method: 'GET', path: '/v1/instances', handle: ({ query }) => instances(live.current, query) },
    { method: 'POST', path: '/v1/tokens', handle: (request) => createToken(options.tokens, request) },
  ];
}

function status({ live, sidecars, store }: OperationRoutesOptions): StatusBody {
  const world = live.current;
  let resources = 0;
  for (const table of world.resources.values()) resources += table.size;
  return {
    version: world.version,
    trustDomain: world.trustDomain,
    store,
    isCurrent: live.isCurrent,
    counts: { resources, nodes: world.nodes.size, instances: world.instances.size },
    sidecars: [...sidecars.status()].sort((a, b) => (a.sidecar < b.sidecar ? -1 : 1)),
  };
}

function nodes(world: World): ListBody<NodeBody> {
  const counts = new Map<string, number>();
  for (const { node } of world.instances.values()) counts.set(node, (counts.get(node) ?? 0) + 1);
  const items = [...world.nodes.values()].map((node) => ({ ...node, instances: counts.get(node.name) ?? 0 }));
  return { version: world.version, items: items.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

function instances(world: World, query: URLSearchParams): ListBody<InstanceBody> {
  const [node, namespace] = [query.get('node'), query.get('namespace')];
  const items = [...world.instances.values()].filter(
    (instance) =>
      (node ?? instance.node) === instance.node && (namespace ?? instance.namespace) === instance.namespace,
  );
  return { version: world.version, items: items.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

async function createToken(tokens: TokenIssuer, request: ApiRequest): Promise<Answer> {
  const { node, ttlSeconds, ...others } = await readJson(request.message);
  const problems: Problem[] = Object.keys(others).map((path) => ({ path, message: 'unknown field' }));
  if (node !== undefined && typeof node !== 'string')
    problems.push({ path: 'node', message: 'expected text' });
  if (ttlSeconds !== undefined && !(typeof ttlSeconds === 'number' && ttlSeconds >= 1)) {
    problems.push({ path: 'ttlSeconds', message: 'expected seconds, at least 1' });
  }
  if (problems.length > 0) throw new ParseFailure(problems);
  const made = await tokens.createToken({
    ...(node === undefined ? {} : { node: String(node) }),
    ...(ttlSeconds === undefined ? {} : { lifetimeMs: Number(ttlSeconds) * 1_000 }),
  });
  const body: TokenBody = {
    token: made.token,
    id: made.id,
    ...(node === undefined ? {} : { node: String(node) }),
    expires: new Date(made.expiresMs).toISOString(),
  };
  return new Answer(201, body);
}
