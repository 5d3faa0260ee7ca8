/**
 * What a sidecar shows and whom it believes, made once from the bundle that the agent hands over and used by every
 * listener and every connection until the next bundle: TLS 1.3 only, no resumption, no roots but the mesh's own.
 */
import { constants, createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import { readSvid, type Svid } from '../../mesh/svid.ts';

export interface TlsCredentials {
  /** Our own name and its end. */
  readonly svid: Svid;
  /** For servers, which build a context of their own from it. */
  readonly settings: SecureContextOptions;
  /** For clients. */
  readonly context: SecureContext;
}

/** The fastest suite first; `SECLEVEL=2` refuses RSA under 2048 bits and SHA-1 anywhere in a chain. */
const ciphers =
  'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:DEFAULT@SECLEVEL=2';

/** Longest bundle part read, in bytes: a chain or some dozens of roots. */
const maxPemLength = 256 * 1024;

/** Checks the bundle whole and prepares it. Throws `invalid` naming the part that does not fit. */
export function createCredentials(bundle: IdentityBundle): TlsCredentials {
  try {
    const [leaf] = readPem('certificate chain', bundle.certificateChain);
    if (!leaf.checkPrivateKey(createPrivateKey(bundle.privateKey)))
      throw new Error('private key belongs to another certificate');
    // Without this check Node would fall back to the public roots of the web.
    readPem('trust bundle', bundle.trustBundle);
    const settings: SecureContextOptions = {
      key: bundle.privateKey,
      cert: bundle.certificateChain,
      ca: bundle.trustBundle,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ciphers,
      // An expired peer must not come back by a session of better days.
      secureOptions: constants.SSL_OP_NO_TICKET,
    };
    return { svid: readSvid(leaf.raw), settings, context: createSecureContext(settings) };
  } catch (cause) {
    throw new MeshError('invalid', `identity bundle: ${messageOf(cause)}`, { origin: 'local', cause });
  }
}

function readPem(what: string, text: string): [X509Certificate, ...X509Certificate[]] {
  if (text.length > maxPemLength) throw new Error(`${what} has more than ${maxPemLength} bytes`);
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const [first, ...others] = blocks.map((block) => new X509Certificate(block));
  if (first === undefined) throw new Error(`${what} holds no certificate`);
  return [first, ...others];
}
