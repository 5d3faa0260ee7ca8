/** Finds what somebody may have meant by a misspelt name. */

/** How many suggestions a message carries at most. */
const maxSuggestions = 3;

/** Words longer than this are not compared: the table of distances grows with the square. */
const maxWordLength = 128;

/** The candidates nearest to `word`, best first: at most three, none farther than a third of its letters. */
export function nearest(word: string, candidates: Iterable<string>): string[] {
  if (word.length > maxWordLength) return [];
  const limit = Math.max(1, Math.ceil(word.length / 3));
  const wanted = word.toLowerCase();
  const found: { readonly name: string; readonly distance: number }[] = [];
  for (const name of candidates) {
    if (Math.abs(name.length - word.length) > limit || name.length > maxWordLength) continue;
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance <= limit) found.push({ name, distance });
  }
  found.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return found.slice(0, maxSuggestions).map((f) => f.name);
}

/** Letters to insert, remove, replace or swap with their neighbour to get from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let beforeLast = new Uint16Array(b.length + 1);
  let last = Uint16Array.from({ length: b.length + 1 }, (_, j) => j);
  let row = new Uint16Array(b.length + 1);
  for (let i = 1; i <= a.length; i++) {
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((last[j - 1] ?? 0) + (same ? 0 : 1), (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      row[j] = cost;
    }
    [beforeLast, last, row] = [last, row, beforeLast];
  }
  return last[b.length] ?? 0;
}
