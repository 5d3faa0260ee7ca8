/**
 * The certificate library, made ready: it throws unless `reflect-metadata` was imported before it, so everybody
 * takes it from here. Never loaded by the sidecar or the node agent.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

export { x509 };
