/**
 * Where things stand in the store. Pilots watch everything under `world/`; what is under `private/` is read
 * only when it is needed.
 *
 *   world/epoch               counts the lives of the store (epoch.ts)
 *   world/head                the newest change set; every change compares and sets it
 *   world/set/NUMBER          a change set that is in force: which parts hold it
 *   world/part/ID/INDEX       at most 512 KiB of the changes of set ID
 *   world/intent/ID           set or base ID is being written; without it nothing of ID takes force
 *   world/base                all sets up to a number, folded together
 *   world/base-part/ID/INDEX  at most 512 KiB of base ID
 *   world/node/NAME           facts of a node
 *   world/instances/NAME      what runs on it
 *   world/alive/NAME          under the node's lease: somebody has heard of it lately
 *   private/token/ID          a join token: the hash of its secret, and whether it was used
 *   private/authority         the CA's state, its keys encrypted
 */
export const worldPrefix = 'world/';
export const epochKey = 'world/epoch';
export const headKey = 'world/head';
export const baseKey = 'world/base';
export const setPrefix = 'world/set/';
export const partPrefix = 'world/part/';
export const intentPrefix = 'world/intent/';
export const basePartPrefix = 'world/base-part/';
export const nodePrefix = 'world/node/';
export const instancesPrefix = 'world/instances/';
export const alivePrefix = 'world/alive/';
export const tokenPrefix = 'private/token/';
export const authorityKey = 'private/authority';

/** Digits enough for one change a millisecond for thirty years; texts then sort as numbers do. */
const setDigits = 12;
const partDigits = 5;

export function setKey(revision: number): string {
  return setPrefix + String(revision).padStart(setDigits, '0');
}

export function partKey(
  prefix: typeof partPrefix | typeof basePartPrefix,
  id: string,
  index: number,
): string {
  return `${prefix}${id}/${String(index).padStart(partDigits, '0')}`;
}

/** The id in the key of a part, or undefined where it is no such key. */
export function idOfPart(prefix: string, key: string): string | undefined {
  const slash = key.indexOf('/', prefix.length);
  return slash === -1 ? undefined : key.slice(prefix.length, slash);
}
