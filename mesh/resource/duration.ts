/** Durations as the Gateway API writes them (GEP-2257): `500ms`, `10s`, `1h30m`. */

/** Timers count to 2^31-1 ms, a little under 25 days. */
const maxMs = 2 ** 31 - 1;

const shape = /^(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}$/;
const part = /([0-9]+)(ms|h|m|s)/g;
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** The milliseconds of `text`, or undefined where it is no duration or longer than 24 days. */
export function durationMs(text: string): number | undefined {
  if (!shape.test(text)) return undefined;
  let total = 0;
  for (const [, digits = '', unit = ''] of text.matchAll(part)) total += Number(digits) * (unitMs[unit] ?? 0);
  return total <= maxMs ? total : undefined;
}
