/** Ports and ranges of ports, as people write them: `22,9000-9010`. */

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Throws an Error that names the part that is wrong. */
export function parsePortRanges(text: string): PortRange[] {
  return text.split(',').map((part) => {
    const [, first = '', last = first] = /^\s*([0-9]{1,5})(?:-([0-9]{1,5}))?\s*$/.exec(part) ?? [];
    const range = { first: Number(first), last: Number(last) };
    if (range.first >= 1 && range.first <= range.last && range.last <= 65_535) return range;
    throw new Error(`expected a port or a range like 9000-9010, got ${JSON.stringify(part.trim())}`);
  });
}

/** In order and without overlap, which nftables takes for an error in a set. */
export function mergeRanges(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && range.first <= before.last + 1) {
      merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
    } else merged.push(range);
  }
  return merged;
}

export function singlePort(port: number): PortRange {
  return { first: port, last: port };
}
