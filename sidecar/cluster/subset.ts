/**
 * Which endpoints of a large cluster one caller keeps links to: a link costs both ends tens of kilobytes, so a
 * caller links to a few (docs/adr/0020-a-caller-links-to-twelve.md). Rendezvous hashing makes the choice the same at
 * every time, spreads callers evenly, and changes it for few callers when an endpoint comes or goes.
 */

export const subsetLimits = {
  /** Endpoints of one cluster that one caller links to. */
  maxLinkedEndpoints: 12,
};

/** At most `maxLinkedEndpoints` of `hosts`, the same for the same caller and hosts. */
export function subsetFor<T extends { readonly endpoint: { readonly id: string } }>(
  caller: string,
  hosts: readonly T[],
): readonly T[] {
  if (hosts.length <= subsetLimits.maxLinkedEndpoints) return hosts;
  return hosts
    .map((host) => ({ host, rank: hashOf(`${caller} ${host.endpoint.id}`) }))
    .sort((a, b) => b.rank - a.rank)
    .slice(0, subsetLimits.maxLinkedEndpoints)
    .map(({ host }) => host);
}

/** FNV-1a with the last mix of MurmurHash3, without which names that differ at their end rank alike. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
