// hot: for requests whose route rewrites or redirects them.
/** New paths and locations by the Gateway API's rules (`HTTPURLRewriteFilter`, `HTTPRequestRedirectFilter`). */
import type { PathChange, PathMatch, Redirect } from '../model.ts';

/** What of a request a redirect keeps. */
export interface RedirectSource {
  readonly scheme: 'http' | 'https';
  /** Host and optional port, as the client sent it. */
  readonly authority: string;
  /** Origin form with its query. */
  readonly path: string;
}

/**
 * The request target after `change`; the query stays. `match` is the rule's path condition: a `prefix` change
 * replaces what it matched and leaves the path alone where that was no prefix.
 */
export function changedPath(path: string, change: PathChange, match: PathMatch | undefined): string {
  const question = path.indexOf('?');
  const bare = question < 0 ? path : path.slice(0, question);
  const query = question < 0 ? '' : path.slice(question);
  return changedBarePath(bare, change, match) + query;
}

function changedBarePath(path: string, change: PathChange, match: PathMatch | undefined): string {
  if (change.kind === 'full') return change.value === '' ? '/' : change.value;
  if (match !== undefined && match.kind !== 'prefix') return path;
  const prefix = withoutLastSlash(match?.value ?? '/');
  if (!path.startsWith(prefix)) return path;
  // The rest is empty or begins with a slash, for prefixes are of whole elements.
  const changed = withoutLastSlash(change.value) + path.slice(prefix.length);
  return changed.startsWith('/') ? changed : `/${changed}`;
}

function withoutLastSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}

/**
 * The `location` of a redirect. A port that neither the filter nor its scheme gives is the one the client used;
 * the scheme's own port is left out.
 */
export function redirectLocation(
  request: RedirectSource,
  redirect: Redirect,
  match: PathMatch | undefined,
): string {
  const scheme = redirect.scheme ?? request.scheme;
  const colon = portColon(request.authority);
  const host = redirect.hostname ?? (colon < 0 ? request.authority : request.authority.slice(0, colon));
  const port = redirectPort(request.authority, colon, redirect);
  const shown = port === '' || port === wellKnownPort(scheme) ? '' : `:${port}`;
  const path = redirect.path === undefined ? request.path : changedPath(request.path, redirect.path, match);
  return `${scheme}://${host}${shown}${path}`;
}

function redirectPort(authority: string, colon: number, redirect: Redirect): string {
  if (redirect.port !== undefined) return String(redirect.port);
  if (redirect.scheme !== undefined) return wellKnownPort(redirect.scheme);
  return colon < 0 ? '' : authority.slice(colon + 1);
}

function wellKnownPort(scheme: 'http' | 'https'): string {
  return scheme === 'http' ? '80' : '443';
}

/** Where the port of an authority begins, or -1; the colons of an IPv6 literal stand in brackets. */
function portColon(authority: string): number {
  const colon = authority.lastIndexOf(':');
  return colon > authority.lastIndexOf(']') ? colon : -1;
}
