/** Whether a pair of sidecars has let go of everything. */
import { eventually } from './eventually.ts';
import { ask } from './http-app.ts';
import type { StaticPair } from './static-pair.ts';

/** Waits until no request and no caller's connection is left; the caller's own link is the one that stays. */
export async function nothingLeft(pair: StaticPair, what: string): Promise<void> {
  const isClean = async () => {
    const left = await leftBehind(pair);
    if (left.join() !== '0 0 0,0 0 1') throw new Error(left.join());
    return true;
  };
  await eventually(isClean, { what, withinMs: 30_000 });
}

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
