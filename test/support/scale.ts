/** How large the tests of limits run: a short form in `npm test`, the full one in `npm run test:limits`. */
export const isFullScale: boolean = process.env['HEDDLE_FULL'] === '1';

/** `short`, or `full` at full scale. */
export function scaled<T>(short: T, full: T): T {
  return isFullScale ? full : short;
}
