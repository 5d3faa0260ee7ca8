/** What every wire between our programs begins with: a protocol version and the features of its sender. */
import { MeshError } from '../kit/errors.ts';

export interface Protocol {
  readonly version: number;
  readonly features: readonly string[];
}

/** Raised only when an older receiver would misunderstand a message. */
export const protocolVersion = 1;

/** The longest message on any wire, in bytes. */
export const maxMessageBytes = 16 * 1024 * 1024;

/**
 * What a sidecar of this version understands inside parts. `featuresOf` (part.ts) names what a part needs;
 * a pilot withholds a configuration from sidecars that lack a name.
 */
export const sidecarFeatures: readonly string[] = [
  'access_log.all',
  'access_log.errors',
  'access_log.none',
  'access_log.sampled',
  'authorization.allow',
  'authorization.deny',
  'balance.round_robin',
  'filter.redirect',
  'filter.request_headers',
  'filter.response_headers',
  'filter.rewrite',
  'match.regex',
  'match.server_name',
  'mtls.permissive',
  'mtls.strict',
  'protocol.detect',
  'protocol.grpc',
  'protocol.http',
  'protocol.http2',
  'protocol.tcp',
  'protocol.tls',
  'via',
];

/** What the programs themselves can do on their wires; nothing beyond version 1 yet. */
export const wireFeatures: readonly string[] = [];

/** What a sidecar says of itself. */
export const sidecarProtocol: Protocol = { version: protocolVersion, features: sidecarFeatures };

/** What an agent and a pilot say of themselves. */
export const programProtocol: Protocol = { version: protocolVersion, features: wireFeatures };

/** Throws `version_not_supported` unless `peer` speaks a version that we speak. */
export function requireProtocol(peer: Protocol, who: string): void {
  if (peer.version === protocolVersion) return;
  throw new MeshError(
    'version_not_supported',
    `${who} speaks protocol version ${peer.version}, this program speaks ${protocolVersion}: upgrade the older one`,
    { origin: 'upstream' },
  );
}
