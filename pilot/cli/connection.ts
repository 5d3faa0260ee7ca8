/** Where the pilot is and which token it takes: by flags, then by environment, then by the file that a pilot of this machine left. */
import { readFileSync } from 'node:fs';
import { systemReason } from '../../kit/errors.ts';
import { defaultDataFolder, readClientFile } from '../api/client-file.ts';
import { wrongUse } from './failure.ts';

export interface ConnectionFlags {
  readonly pilot?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly dataDir?: string;
}

export interface Connection {
  readonly url: URL;
  readonly token: string;
  /** PEM. */
  readonly ca: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws CommandFailure with what is missing and how to say it. */
export function findConnection(flags: ConnectionFlags, env: Environment): Connection {
  const folder = flags.dataDir ?? defaultDataFolder(env);
  const local = readClientFile(folder);
  const { HEDDLE_PILOT: pilot, HEDDLE_TOKEN: token, HEDDLE_CA: ca } = env;
  const address = flags.pilot ?? pilot ?? local?.url;
  if (address === undefined) {
    throw wrongUse(
      `no pilot known: none has left its address in ${folder}; give --pilot URL or set HEDDLE_PILOT (or --data-dir of a pilot on this machine)`,
    );
  }
  const url = parseAddress(address);
  // The token of the pilot on this machine is not shown to another one.
  const isLocal = local !== undefined && parseAddress(local.url).href === url.href;
  const secret = fromFile(flags.tokenFile) ?? token ?? (isLocal ? local.token : undefined);
  if (secret === undefined) {
    throw wrongUse(`no token for ${url.origin}: give --token-file FILE or set HEDDLE_TOKEN`);
  }
  return { url, token: secret, ca: fromFile(flags.ca) ?? fromFile(ca) ?? (isLocal ? local.ca : undefined) };
}

function parseAddress(address: string): URL {
  const url = URL.parse(address.includes('://') ? address : `http://${address}`);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw wrongUse(`'${address}' is no address of a pilot; expected http://HOST:PORT or https://HOST:PORT`);
  }
  return url;
}

function fromFile(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (thrown) {
    throw wrongUse(`cannot read ${path}: ${systemReason(thrown)}`);
  }
}
