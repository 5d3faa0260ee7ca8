/**
 * The conversation on the Unix socket between a node agent and one sidecar. Each message goes into a frame
 * (frame.ts). The agent's first is `welcome`, the sidecar's first is `hello`.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { Problem } from '../kit/parse.ts';
import type { Bootstrap, IdentityBundle } from '../mesh/bootstrap.ts';
import type { Version } from '../mesh/model.ts';
import type { EndpointUpdate } from './assembler.ts';
import { bootstrapFromWire, bootstrapToWire, identityFromWire, identityToWire } from './bootstrap.ts';
import { decodeLoose, each, filled, type Report, safeInteger, words } from './check.ts';
import {
  answerFromWire,
  answerToWire,
  problemFromWire,
  protocolFromWire,
  protocolToWire,
  type ResolveAnswer,
  type UnknownMessage,
  updateFromWire,
  updateToWire,
} from './conversation.ts';
import * as wire from './gen/heddle/v1/sidecar_pb.ts';
import { manifestFromWire, manifestToWire, partFromWire, partToWire } from './manifest.ts';
import type { Manifest, Part } from './part.ts';
import type { Protocol } from './protocol.ts';
import { versionFromWire, versionToWire } from './settings.ts';

export type SidecarState = 'starting' | 'ready' | 'draining';

/** Sidecar → agent. */
export type SidecarMessage =
  | { readonly kind: 'hello'; readonly protocol: Protocol; readonly instance: string }
  | { readonly kind: 'ack'; readonly push: number; readonly version: Version }
  | {
      readonly kind: 'nack';
      readonly push: number;
      readonly version: Version;
      readonly problems: readonly Problem[];
    }
  /** `name` is the host as the application said it, without a port; the answer carries the same `id`. */
  | { readonly kind: 'resolve'; readonly id: number; readonly name: string }
  | { readonly kind: 'want_endpoints'; readonly clusters: readonly string[] }
  | { readonly kind: 'status'; readonly state: SidecarState };

/** Agent → sidecar. */
export type AgentMessage =
  | { readonly kind: 'welcome'; readonly protocol: Protocol; readonly bootstrap: Bootstrap }
  | { readonly kind: 'identity'; readonly identity: IdentityBundle }
  | { readonly kind: 'parts'; readonly parts: readonly Part[] }
  /** Not confirmed; a base that is missing is asked for with `want_endpoints`. */
  | { readonly kind: 'endpoints'; readonly update: EndpointUpdate }
  /** Confirmed by `ack` or `nack` with the same `push`. */
  | { readonly kind: 'manifest'; readonly push: number; readonly manifest: Manifest }
  | { readonly kind: 'resolved'; readonly id: number; readonly answer: ResolveAnswer };

const states = words({
  starting: wire.SidecarState.STARTING,
  ready: wire.SidecarState.READY,
  draining: wire.SidecarState.DRAINING,
});

export function encodeSidecarMessage(message: SidecarMessage): Uint8Array {
  return toBinary(
    wire.SidecarMessageSchema,
    create(wire.SidecarMessageSchema, { message: sidecarCase(message) }),
  );
}

/** Throws a ParseFailure where the bytes are not a message. */
export function decodeSidecarMessage(bytes: Uint8Array): SidecarMessage | UnknownMessage {
  return decodeLoose(wire.SidecarMessageSchema, bytes, 'message', sidecarFromWire);
}

export function encodeAgentMessage(message: AgentMessage): Uint8Array {
  return toBinary(wire.AgentMessageSchema, create(wire.AgentMessageSchema, { message: agentCase(message) }));
}

/** Throws a ParseFailure where the bytes are not a message. */
export function decodeAgentMessage(bytes: Uint8Array): AgentMessage | UnknownMessage {
  return decodeLoose(wire.AgentMessageSchema, bytes, 'message', agentFromWire);
}

function sidecarCase(message: SidecarMessage): wire.SidecarMessage['message'] {
  switch (message.kind) {
    case 'hello': {
      const { protocol, instance } = message;
      const value = create(wire.SidecarHelloSchema, { protocol: protocolToWire(protocol), instance });
      return { case: 'hello', value };
    }
    case 'ack': {
      const version = versionToWire(message.version);
      return { case: 'ack', value: create(wire.SidecarAckSchema, { push: BigInt(message.push), version }) };
    }
    case 'nack': {
      const value = create(wire.SidecarNackSchema, {
        push: BigInt(message.push),
        version: versionToWire(message.version),
        problems: message.problems.map(({ path, message: text }) => ({ path, message: text })),
      });
      return { case: 'nack', value };
    }
    case 'resolve': {
      const value = create(wire.SidecarResolveSchema, { id: BigInt(message.id), name: message.name });
      return { case: 'resolve', value };
    }
    case 'want_endpoints':
      return {
        case: 'wantEndpoints',
        value: { $typeName: 'heddle.v1.WantEndpoints', clusters: [...message.clusters] },
      };
    case 'status': {
      const value = create(wire.SidecarStatusSchema, { state: states.toWire(message.state) });
      return { case: 'status', value };
    }
  }
}

function sidecarFromWire(
  { message }: wire.SidecarMessage,
  path: string,
  report: Report,
): SidecarMessage | UnknownMessage {
  const at = `${path}.${message.case}`;
  switch (message.case) {
    case 'hello':
      return {
        kind: 'hello',
        protocol: protocolFromWire(message.value.protocol, `${at}.protocol`, report),
        instance: filled(message.value.instance, `${at}.instance`, report),
      };
    case 'ack':
      return {
        kind: 'ack',
        push: safeInteger(message.value.push, `${at}.push`, report),
        version: versionFromWire(message.value.version, `${at}.version`, report),
      };
    case 'nack':
      return {
        kind: 'nack',
        push: safeInteger(message.value.push, `${at}.push`, report),
        version: versionFromWire(message.value.version, `${at}.version`, report),
        problems: message.value.problems.map(problemFromWire),
      };
    case 'resolve':
      return {
        kind: 'resolve',
        id: safeInteger(message.value.id, `${at}.id`, report),
        name: filled(message.value.name, `${at}.name`, report),
      };
    case 'wantEndpoints':
      return { kind: 'want_endpoints', clusters: message.value.clusters };
    case 'status':
      return { kind: 'status', state: states.fromWire(message.value.state, `${at}.state`, report) };
    case undefined:
      return { kind: 'unknown' };
  }
}

function agentCase(message: AgentMessage): wire.AgentMessage['message'] {
  switch (message.kind) {
    case 'welcome': {
      const value = create(wire.AgentWelcomeSchema, {
        protocol: protocolToWire(message.protocol),
        bootstrap: bootstrapToWire(message.bootstrap),
      });
      return { case: 'welcome', value };
    }
    case 'identity':
      return { case: 'identity', value: identityToWire(message.identity) };
    case 'parts':
      return {
        case: 'parts',
        value: { $typeName: 'heddle.v1.Parts', parts: message.parts.map(partToWire) },
      };
    case 'endpoints':
      return { case: 'endpoints', value: updateToWire(message.update, 0) };
    case 'manifest': {
      const manifest = manifestToWire(message.manifest);
      const value = create(wire.AgentManifestSchema, { push: BigInt(message.push), manifest });
      return { case: 'manifest', value };
    }
    case 'resolved': {
      const answer = answerToWire(message.answer);
      return {
        case: 'resolved',
        value: create(wire.AgentResolvedSchema, { id: BigInt(message.id), answer }),
      };
    }
  }
}

function agentFromWire(
  { message }: wire.AgentMessage,
  path: string,
  report: Report,
): AgentMessage | UnknownMessage {
  const at = `${path}.${message.case}`;
  switch (message.case) {
    case 'welcome':
      return {
        kind: 'welcome',
        protocol: protocolFromWire(message.value.protocol, `${at}.protocol`, report),
        bootstrap: bootstrapFromWire(message.value.bootstrap, `${at}.bootstrap`, report),
      };
    case 'identity':
      return { kind: 'identity', identity: identityFromWire(message.value, at, report) };
    case 'parts':
      return { kind: 'parts', parts: each(message.value.parts, `${at}.parts`, report, partFromWire) };
    case 'endpoints':
      return { kind: 'endpoints', update: updateFromWire(message.value, at, report) };
    case 'manifest':
      return {
        kind: 'manifest',
        push: safeInteger(message.value.push, `${at}.push`, report),
        manifest: manifestFromWire(message.value.manifest, `${at}.manifest`, report),
      };
    case 'resolved':
      return {
        kind: 'resolved',
        id: safeInteger(message.value.id, `${at}.id`, report),
        answer: answerFromWire(message.value.answer, `${at}.answer`, report),
      };
    case undefined:
      return { kind: 'unknown' };
  }
}
