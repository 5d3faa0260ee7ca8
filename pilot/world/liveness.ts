/**
 * Which nodes count as dead. A node whose lease is over is dead only if that can be the node's own fault:
 * for a while after the pilot or the store came back nobody dies, and never more than a share of the nodes
 * is dead at once, for an outage of the control plane must not empty the clusters.
 */
import type { Clock } from '../../kit/clock.ts';

/** After a recovery no node dies for this long: agents must find a pilot and renew their leases first. */
export const graceMs = 60_000;
/** The greatest share of nodes that is dead at once; one node always may be. */
export const maxDeadShare = 0.2;
/** A look this much later than planned means that this process itself was not running. */
const maxLateMs = 10_000;

export interface Liveness {
  /** The pilot or the store is back: nobody dies for `graceMs`. */
  recovered(): void;
  /** The dead among `nodes`, where `heard` has the nodes whose lease lives; the same set where nothing changed. */
  look(nodes: Iterable<string>, heard: ReadonlySet<string>): ReadonlySet<string>;
}

/** Expects a look at least every `lookEveryMs`; begins in grace. */
export function createLiveness(clock: Clock, lookEveryMs: number): Liveness {
  let quietUntilMs = clock.nowMs() + graceMs;
  let lastLookMs = clock.nowMs();
  /** When each silent node was first missed. */
  let silentSince = new Map<string, number>();
  let dead: ReadonlySet<string> = new Set();

  const recovered = (): void => {
    quietUntilMs = clock.nowMs() + graceMs;
  };

  return {
    recovered,
    look(nodes, heard) {
      const nowMs = clock.nowMs();
      if (nowMs - lastLookMs > lookEveryMs + maxLateMs) recovered();
      lastLookMs = nowMs;
      const silent = new Map<string, number>();
      let count = 0;
      for (const node of nodes) {
        count++;
        if (!heard.has(node)) silent.set(node, silentSince.get(node) ?? nowMs);
      }
      silentSince = silent;
      const next = new Set([...dead].filter((node) => silent.has(node)));
      if (nowMs >= quietUntilMs)
        addLongestSilent(next, silent, Math.max(1, Math.floor(count * maxDeadShare)));
      if (next.size !== dead.size || [...next].some((node) => !dead.has(node))) dead = next;
      return dead;
    },
  };
}

function addLongestSilent(dead: Set<string>, silent: ReadonlyMap<string, number>, most: number): void {
  if (dead.size >= most || dead.size === silent.size) return;
  const longestFirst = [...silent].filter(([node]) => !dead.has(node)).sort((a, b) => a[1] - b[1]);
  for (const [node] of longestFirst.slice(0, most - dead.size)) dead.add(node);
}
