/** Which addresses are this machine's (or network namespace's) own. */
import { networkInterfaces } from 'node:os';
import { canonicalAddress } from './original-destination.ts';

/** Whether a listener on it takes every local address. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** Asks the kernel: for decisions once per connection at most. */
export function isLocalAddress(address: string): boolean {
  if (address === '::1' || address.startsWith('127.')) return true;
  return Object.values(networkInterfaces()).some((interfaces) =>
    interfaces?.some((one) => canonicalAddress(one.address) === address),
  );
}
