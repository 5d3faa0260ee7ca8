/** `ConfigResponse`, pilot → agent, to and from bytes. */
import { create, toBinary } from '@bufbuild/protobuf';
import { decodeLoose, each, filled, type Report, safeInteger } from './check.ts';
import type { ConfigResponse } from './config-wire.ts';
import {
  answerFromWire,
  answerToWire,
  protocolFromWire,
  protocolToWire,
  type UnknownMessage,
  updateFromWire,
  updateToWire,
} from './conversation.ts';
import * as wire from './gen/heddle/v1/config_pb.ts';
import { manifestFromWire, manifestToWire, partFromWire, partToWire } from './manifest.ts';
import { placementFromWire, placementToWire } from './placement.ts';

export function encodeConfigResponse(response: ConfigResponse): Uint8Array {
  return toBinary(
    wire.StreamResponseSchema,
    create(wire.StreamResponseSchema, { message: caseOf(response) }),
  );
}

/** Throws a ParseFailure where the bytes are not a message. */
export function decodeConfigResponse(bytes: Uint8Array): ConfigResponse | UnknownMessage {
  return decodeLoose(wire.StreamResponseSchema, bytes, 'response', fromWire);
}

function caseOf(response: ConfigResponse): wire.StreamResponse['message'] {
  switch (response.kind) {
    case 'hello': {
      const init = { protocol: protocolToWire(response.protocol), pilot: response.pilot };
      return { case: 'hello', value: create(wire.PilotHelloSchema, init) };
    }
    case 'parts':
      return {
        case: 'parts',
        value: create(wire.PartsSchema, { parts: response.parts.map(partToWire) }),
      };
    case 'endpoints':
      return { case: 'endpoints', value: updateToWire(response.update, response.push) };
    case 'manifest': {
      const { sidecar, push } = response;
      const init = { sidecar, push: BigInt(push), manifest: manifestToWire(response.manifest) };
      return { case: 'manifest', value: create(wire.ManifestPushSchema, init) };
    }
    case 'resolved': {
      const { id, sidecar } = response;
      const init = { id: BigInt(id), sidecar, answer: answerToWire(response.answer) };
      return { case: 'resolved', value: create(wire.ResolvedSchema, init) };
    }
    case 'placement':
      return { case: 'placement', value: placementToWire(response.placement) };
    case 'trust':
      return { case: 'trust', value: create(wire.TrustBundleSchema, { pem: response.trustBundle }) };
    case 'refused': {
      const { sidecar, reason } = response;
      return { case: 'refused', value: create(wire.RefusedSchema, { sidecar, reason }) };
    }
  }
}

function fromWire(
  { message }: wire.StreamResponse,
  path: string,
  report: Report,
): ConfigResponse | UnknownMessage {
  const at = `${path}.${message.case}`;
  switch (message.case) {
    case 'hello':
      return {
        kind: 'hello',
        protocol: protocolFromWire(message.value.protocol, `${at}.protocol`, report),
        pilot: message.value.pilot,
      };
    case 'parts':
      return { kind: 'parts', parts: each(message.value.parts, `${at}.parts`, report, partFromWire) };
    case 'endpoints':
      return {
        kind: 'endpoints',
        push: safeInteger(message.value.push, `${at}.push`, report),
        update: updateFromWire(message.value, at, report),
      };
    case 'manifest':
      return {
        kind: 'manifest',
        sidecar: filled(message.value.sidecar, `${at}.sidecar`, report),
        push: safeInteger(message.value.push, `${at}.push`, report),
        manifest: manifestFromWire(message.value.manifest, `${at}.manifest`, report),
      };
    case 'resolved':
      return {
        kind: 'resolved',
        id: safeInteger(message.value.id, `${at}.id`, report),
        sidecar: filled(message.value.sidecar, `${at}.sidecar`, report),
        answer: answerFromWire(message.value.answer, `${at}.answer`, report),
      };
    case 'placement':
      return { kind: 'placement', placement: placementFromWire(message.value, at, report) };
    case 'trust':
      return { kind: 'trust', trustBundle: filled(message.value.pem, `${at}.pem`, report) };
    case 'refused':
      return { kind: 'refused', sidecar: message.value.sidecar, reason: message.value.reason };
    case undefined:
      return { kind: 'unknown' };
  }
}
