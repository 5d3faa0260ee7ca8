/** Hosts with an optional port, as they stand in Host and in absolute targets: RFC 9110 §4.2, §7.2. */
import { isIPv6 } from 'node:net';
import { colon, hostByte, nine, zero } from './chars.ts';

/** Validated authorities by what was written; begun anew when full. */
const maxKnown = 256;
const maxKnownChars = 256;
const known = new Map<string, string | undefined>();

/** The authority in lower case, an empty port dropped; undefined where it is none. */
export function parseAuthority(text: string): string | undefined {
  if (text.length > maxKnownChars) return validated(text);
  const answer = known.get(text);
  if (answer !== undefined || known.has(text)) return answer;
  if (known.size >= maxKnown) known.clear();
  const fresh = validated(text);
  known.set(text, fresh);
  return fresh;
}

function validated(text: string): string | undefined {
  const hostEnd = text.startsWith('[') ? endOfLiteral(text) : endOfName(text);
  if (hostEnd <= 0) return undefined;
  if (hostEnd === text.length) return text.toLowerCase();
  if (text.charCodeAt(hostEnd) !== colon || !isPort(text, hostEnd + 1)) return undefined;
  const end = hostEnd + 1 === text.length ? hostEnd : text.length;
  return text.slice(0, end).toLowerCase();
}

/** Letters, digits and `-._~`: no userinfo, list, escape or path can be meant. */
function endOfName(text: string): number {
  let at = 0;
  while (at < text.length && hostByte[text.charCodeAt(at)] === 1) at++;
  return at;
}

function endOfLiteral(text: string): number {
  const close = text.indexOf(']');
  // No zone identifiers: they mean something only on the machine that wrote them.
  return close > 0 && !text.includes('%') && isIPv6(text.slice(1, close)) ? close + 1 : 0;
}

/** 1 to 65535, or nothing at all. */
function isPort(text: string, from: number): boolean {
  if (text.length - from > 5) return false;
  let port = 0;
  for (let at = from; at < text.length; at++) {
    const digit = text.charCodeAt(at);
    if (digit < zero || digit > nine) return false;
    port = port * 10 + digit - zero;
  }
  return from === text.length || (port > 0 && port <= 65535);
}
