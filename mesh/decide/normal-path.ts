/**
 * The path as a server that decodes and resolves it would see it. Authorization looks at both forms, so that
 * `/public/%2e%2e/admin` neither slips past a `deny` of `/admin` nor through an `allow` of `/public`.
 */

/** Whether `path` (without query) has another normal form than itself; most have not. */
export function isNormalPath(path: string): boolean {
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === 0x25 || code === 0x5c) return false; // % and \
    if (code === 0x2f) {
      const next = path.charCodeAt(at + 1);
      if (next === 0x2f || next === 0x2e) return false; // doubled slash, possible dot segment
    }
  }
  return true;
}

/** Decodes percent escapes once, takes `\` for `/`, merges slashes and resolves dot segments (RFC 3986 §5.2.4). */
export function normalPath(path: string): string {
  if (isNormalPath(path)) return path;
  const segments = decodeOnce(path).replaceAll('\\', '/').split('/');
  const kept: string[] = [];
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.' && segment !== '') kept.push(segment);
  }
  const last = segments.at(-1);
  const open = last === '' || last === '.' || last === '..';
  return kept.length === 0 ? '/' : `/${kept.join('/')}${open ? '/' : ''}`;
}

/** Escapes become one code unit each, as in a latin1 head; what is no escape stays. */
function decodeOnce(path: string): string {
  return path.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
