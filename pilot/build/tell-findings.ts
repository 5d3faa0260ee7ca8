/** Findings for people at a terminal, one line each. */

/** A finding, also as the HTTP API tells it. */
interface Told {
  readonly code: string;
  readonly kind: string;
  readonly resource: string;
  readonly path: string;
  readonly message: string;
}

/** Of a large set the rest is counted: what changed must stay in sight. */
const maxTold = 20;

/** Such as `warning: HED0101 HTTPRoute shop/orders: spec.rules[0]: service shop/ghost does not exist`. */
export function tellFindings(found: readonly Told[], tell: (text: string) => void): void {
  for (const { code, kind, resource, path, message } of found.slice(0, maxTold)) {
    const parts = ['warning', `${code} ${kind} ${resource}`, path, message];
    tell(`${parts.filter((part) => part !== '').join(': ')}\n`);
  }
  const more = found.length - maxTold;
  if (more > 0) tell(`warning: ${more} more like these; heddle pilot describe shows those of one resource\n`);
}
