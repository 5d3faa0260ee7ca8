/**
 * What the pilot leaves in its data folder for the commands of the same machine and user: where its API is
 * and the token for it.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../../kit/atomic-file.ts';

export interface ClientFile {
  /** `http://127.0.0.1:15080`. */
  readonly url: string;
  readonly token: string;
  /** PEM of what the API's certificate is checked against; undefined for plaintext and public authorities. */
  readonly ca?: string;
}

export const clientFileName = 'client.json';

/** Where a pilot keeps its data unless it is told otherwise. */
export function defaultDataFolder(env: Readonly<Record<string, string | undefined>>): string {
  const { HEDDLE_DATA: own, XDG_DATA_HOME: shared } = env;
  return own ?? join(shared ?? join(homedir(), '.local', 'share'), 'heddle', 'pilot');
}

/** Mode 0600, for the token is in it. */
export function writeClientFile(dataFolder: string, client: ClientFile): void {
  writeFileAtomic(join(dataFolder, clientFileName), `${JSON.stringify(client, undefined, 2)}\n`, {
    mode: 0o600,
  });
}

/** The file's content, or undefined where there is none or it cannot be read. */
export function readClientFile(dataFolder: string): ClientFile | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dataFolder, clientFileName), 'utf8'));
    const client = value as Partial<ClientFile>;
    return typeof client.url === 'string' && typeof client.token === 'string'
      ? (client as ClientFile)
      : undefined;
  } catch {
    return undefined;
  }
}
