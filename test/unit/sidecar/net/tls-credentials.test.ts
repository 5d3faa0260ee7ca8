import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCredentials } from '../../../../sidecar/net/tls-credentials.ts';
import { createTestMesh } from '../../../support/certificates.ts';

describe('createCredentials', () => {
  it('knows its own name and end', async () => {
    const mesh = await createTestMesh();
    const { svid } = createCredentials(await mesh.bundle('web', { notAfter: new Date(1_999_999_999_000) }));
    assert.deepEqual([svid.name, svid.notAfterMs], [mesh.nameOf('web'), 1_999_999_999_000]);
  });

  it('refuses a bundle whose parts do not fit, and never falls back to public roots', async () => {
    const mesh = await createTestMesh();
    const good = await mesh.bundle('web');
    const other = await mesh.bundle('web');
    const bad = [
      { ...good, trustBundle: '' },
      { ...good, trustBundle: 'no certificate' },
      { ...good, certificateChain: '' },
      { ...good, privateKey: other.privateKey },
      { ...good, privateKey: '' },
      { ...good, certificateChain: mesh.root.pem },
      { ...good, trustBundle: good.trustBundle.repeat(1_000) },
    ];
    for (const bundle of bad)
      assert.throws(() => createCredentials(bundle), { code: 'invalid', message: /^identity bundle: / });
  });
});
