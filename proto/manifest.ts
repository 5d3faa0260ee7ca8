/** Manifests, part references and parts to and from their messages. */
import { create } from '@bufbuild/protobuf';
import { each, filled, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import type { Manifest, Part, PartRef } from './part.ts';
import { versionFromWire, versionToWire } from './settings.ts';
import { partKinds } from './words.ts';

/** The most parts that one manifest names. */
const maxParts = 100_000;
const hashBytes = 32;

export function manifestToWire(manifest: Manifest): wire.Manifest {
  return create(wire.ManifestSchema, {
    version: versionToWire(manifest.version),
    parts: manifest.parts.map(refToWire),
  });
}

export function manifestFromWire(message: wire.Manifest | undefined, path: string, report: Report): Manifest {
  const parts = message?.parts ?? [];
  if (parts.length > maxParts) report({ path, message: `${parts.length} parts, at most ${maxParts}` });
  return {
    version: versionFromWire(message?.version, `${path}.version`, report),
    parts: each(parts, `${path}.parts`, report, refFromWire),
  };
}

export function partToWire(part: Part): wire.Part {
  return create(wire.PartSchema, { ref: refToWire(part), content: part.content });
}

export function partFromWire(message: wire.Part, path: string, report: Report): Part {
  if (message.ref === undefined) report({ path: `${path}.ref`, message: 'missing' });
  const ref = refFromWire(message.ref ?? create(wire.PartRefSchema), `${path}.ref`, report);
  return { ...ref, content: message.content };
}

export function hashToWire(hash: string): Uint8Array {
  return Buffer.from(hash, 'hex');
}

export function hashFromWire(bytes: Uint8Array, path: string, report: Report): string {
  if (bytes.length !== hashBytes) {
    report({ path, message: `expected ${hashBytes} bytes, got ${bytes.length}` });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function refToWire(ref: PartRef): wire.PartRef {
  return create(wire.PartRefSchema, {
    kind: partKinds.toWire(ref.kind),
    name: ref.name,
    hash: hashToWire(ref.hash),
  });
}

function refFromWire(message: wire.PartRef, path: string, report: Report): PartRef {
  return {
    kind: partKinds.fromWire(message.kind, `${path}.kind`, report),
    name: filled(message.name, `${path}.name`, report),
    hash: hashFromWire(message.hash, `${path}.hash`, report),
  };
}
