import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { renderResources } from '../../../../examples/shop/launcher/resources.ts';
import { readDocuments } from '../../../../mesh/document/read-documents.ts';

const shop = join(import.meta.dirname, '../../../../examples/shop');

describe("the shop's resources", () => {
  it('are ones the mesh takes, of every kind the example speaks of', () => {
    const text = renderResources({ shop, data: '/tmp', trustDomain: 'mesh.local' });
    const kinds = new Map<string, number>();
    for (const { kind } of readDocuments(text)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    assert.deepEqual(Object.fromEntries(kinds), {
      GRPCRoute: 1,
      PeerAuthentication: 2,
      AuthorizationPolicy: 4,
      Service: 6,
      HTTPRoute: 1,
      Workload: 6,
    });
    assert.doesNotMatch(text, /@[A-Z]+@/);
  });

  it('have routes to change over to', () => {
    for (const name of readdirSync(join(shop, 'routes'))) {
      const [route] = readDocuments(readFileSync(join(shop, 'routes', name), 'utf8'));
      assert.equal(route?.kind, 'GRPCRoute');
      assert.equal(route?.metadata.name, 'pricing');
    }
  });
});
