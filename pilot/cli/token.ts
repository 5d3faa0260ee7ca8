/** `heddle pilot token create`: prints the token alone on standard output, so that scripts can take it. */
import type { TokenBody, TokenRequest } from '../api/shapes.ts';
import type { CommandContext } from './context.ts';
import { wrongUse } from './failure.ts';
import { parseTtl } from './table.ts';

export interface TokenFlags {
  readonly node?: string;
  readonly ttl?: string;
}

export async function createToken({ io, client }: CommandContext, flags: TokenFlags): Promise<void> {
  const ttlMs = flags.ttl === undefined ? undefined : parseTtl(flags.ttl);
  if (flags.ttl !== undefined && ttlMs === undefined) {
    throw wrongUse(`'${flags.ttl}' is no time; expected such as 90s, 10m, 2h or 7d`);
  }
  const request: TokenRequest = {
    ...(flags.node === undefined ? {} : { node: flags.node }),
    ...(ttlMs === undefined ? {} : { ttlSeconds: ttlMs / 1_000 }),
  };
  const body = await client.post<TokenBody>('/v1/tokens', request);
  io.out(`${body.token}\n`);
  io.err(`for ${body.node === undefined ? 'any node' : `node ${body.node}`}, once, until ${body.expires}\n`);
}
