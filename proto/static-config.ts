/**
 * The file behind `heddle sidecar run --config FILE`, protobuf JSON: bootstrap, identity and a whole snapshot.
 * Unknown fields are refused by name.
 */
import { create, fromJson, type JsonValue, toJsonString } from '@bufbuild/protobuf';
import { messageOf } from '../kit/errors.ts';
import { ParseFailure } from '../kit/parse.ts';
import type { Bootstrap, IdentityBundle } from '../mesh/bootstrap.ts';
import type { Snapshot } from '../mesh/model.ts';
import { bootstrapFromWire, bootstrapToWire, identityFromWire, identityToWire } from './bootstrap.ts';
import { collect, filled, type Report } from './check.ts';
import * as model from './gen/heddle/v1/model_pb.ts';
import * as wire from './gen/heddle/v1/sidecar_pb.ts';
import { protocolVersion } from './protocol.ts';
import { snapshotFromWire, snapshotToWire } from './snapshot.ts';

export interface StaticConfig {
  readonly bootstrap: Bootstrap;
  readonly identity: StaticIdentity;
  readonly snapshot: Snapshot;
}

/** Paths are as written: relative ones count from the file's folder. */
export type StaticIdentity =
  | { readonly kind: 'files'; readonly files: IdentityBundle }
  | { readonly kind: 'inline'; readonly bundle: IdentityBundle }
  /** Plaintext only. */
  | { readonly kind: 'none' };

/** Throws a ParseFailure with every problem by path. */
export function parseStaticConfig(text: string): StaticConfig {
  const message = readJson(text);
  return collect((report) => {
    const version = message.protocol?.version ?? 0;
    if (version !== protocolVersion) {
      report({ path: 'protocol.version', message: `expected ${protocolVersion}, got ${version}` });
    }
    if (message.snapshot === undefined) report({ path: 'snapshot', message: 'missing' });
    return {
      bootstrap: bootstrapFromWire(message.bootstrap, 'bootstrap', report),
      identity: identityOf(message.identity, report),
      snapshot: snapshotFromWire(
        message.snapshot ?? create(model.SnapshotSchema),
        'snapshot',
        message.snapshot === undefined ? () => {} : report,
      ),
    };
  });
}

export function formatStaticConfig(config: StaticConfig): string {
  const message = create(wire.StaticConfigSchema, {
    protocol: { version: protocolVersion },
    bootstrap: bootstrapToWire(config.bootstrap),
    identity: identityToCase(config.identity),
    snapshot: snapshotToWire(config.snapshot),
  });
  return `${toJsonString(wire.StaticConfigSchema, message, { prettySpaces: 2 })}\n`;
}

function readJson(text: string): wire.StaticConfig {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (cause) {
    const message = `expected JSON as \`heddle pilot build\` prints it: ${messageOf(cause)}`;
    throw new ParseFailure([{ path: '', message }]);
  }
  try {
    return fromJson(wire.StaticConfigSchema, value, { ignoreUnknownFields: false });
  } catch (cause) {
    throw new ParseFailure([{ path: '', message: messageOf(cause) }]);
  }
}

function identityOf(identity: wire.StaticConfig['identity'], report: Report): StaticIdentity {
  switch (identity.case) {
    case 'identityFiles': {
      const { privateKey, certificateChain, trustBundle } = identity.value;
      const path = 'identityFiles';
      const files = {
        privateKey: filled(privateKey, `${path}.privateKey`, report),
        certificateChain: filled(certificateChain, `${path}.certificateChain`, report),
        trustBundle: filled(trustBundle, `${path}.trustBundle`, report),
      };
      return { kind: 'files', files };
    }
    case 'identityInline':
      return { kind: 'inline', bundle: identityFromWire(identity.value, 'identityInline', report) };
    case undefined:
      return { kind: 'none' };
  }
}

function identityToCase(identity: StaticIdentity): wire.StaticConfig['identity'] {
  switch (identity.kind) {
    case 'files':
      return { case: 'identityFiles', value: create(wire.IdentityFilesSchema, { ...identity.files }) };
    case 'inline':
      return { case: 'identityInline', value: identityToWire(identity.bundle) };
    case 'none':
      return { case: undefined };
  }
}
