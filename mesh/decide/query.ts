// hot: called for requests that a rule with a query condition may match.
/** Reads one parameter of a request target's query. */

/**
 * The first value of the parameter `name` in `path` (origin form), decoded like a form (`+` is a space); undefined
 * where it is not there. Only what holds `%` or `+` is decoded; what is no valid encoding stays as it is.
 */
export function queryValue(path: string, name: string): string | undefined {
  let at = path.indexOf('?');
  if (at < 0) return undefined;
  const length = path.length;
  while (at < length) {
    const start = at + 1;
    at = indexOrEnd(path, '&', start, length);
    const nameEnd = indexOrEnd(path, '=', start, at);
    if (nameEnd > start && isName(path, start, nameEnd, name)) return decoded(path.slice(nameEnd + 1, at));
  }
  return undefined;
}

/** Where `mark` stands from `start` on, but at most `end`. */
function indexOrEnd(path: string, mark: string, start: number, end: number): number {
  const found = path.indexOf(mark, start);
  return found < 0 || found > end ? end : found;
}

function isName(path: string, start: number, end: number, name: string): boolean {
  if (end - start === name.length) return path.startsWith(name, start);
  // A longer one may be the same name in an encoded form.
  return end - start > name.length && decoded(path.slice(start, end)) === name;
}

function decoded(raw: string): string {
  if (!raw.includes('%') && !raw.includes('+')) return raw;
  const spaced = raw.replaceAll('+', ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
