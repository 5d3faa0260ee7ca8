/** The example's resources, with this machine's folders in the places that are left for them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Places {
  /** The example's own folder. */
  readonly shop: string;
  /** Where its services may write. */
  readonly data: string;
  readonly trustDomain: string;
}

/** All of `resources/*.yaml` as one text. */
export function renderResources(places: Places): string {
  const folder = join(places.shop, 'resources');
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  const text = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n---\n');
  return text
    .replaceAll('@SHOP@', places.shop)
    .replaceAll('@DATA@', places.data)
    .replaceAll('@TRUST@', `spiffe://${places.trustDomain}`);
}
