/** `ConfigRequest`, agent → pilot, to and from bytes. */
import { create, toBinary } from '@bufbuild/protobuf';
import { decodeLoose, each, filled, type Report, safeInteger } from './check.ts';
import type { ConfigHello, ConfigRequest, Nack, Subscribe } from './config-wire.ts';
import { problemFromWire, protocolFromWire, protocolToWire, type UnknownMessage } from './conversation.ts';
import * as wire from './gen/heddle/v1/config_pb.ts';
import { hashFromWire, hashToWire } from './manifest.ts';
import { refFromWire, versionFromWire, versionToWire } from './settings.ts';

export function encodeConfigRequest(request: ConfigRequest): Uint8Array {
  return toBinary(wire.StreamRequestSchema, create(wire.StreamRequestSchema, { message: caseOf(request) }));
}

/** Throws a ParseFailure where the bytes are not a message. */
export function decodeConfigRequest(bytes: Uint8Array): ConfigRequest | UnknownMessage {
  return decodeLoose(wire.StreamRequestSchema, bytes, 'request', fromWire);
}

function caseOf(request: ConfigRequest): wire.StreamRequest['message'] {
  switch (request.kind) {
    case 'hello':
      return { case: 'hello', value: helloToWire(request) };
    case 'subscribe':
      return { case: 'subscribe', value: subscribeToWire(request) };
    case 'unsubscribe':
      return { case: 'unsubscribe', value: create(wire.UnsubscribeSchema, { sidecar: request.sidecar }) };
    case 'ack': {
      const { sidecar, push, version } = request;
      const init = { sidecar, push: BigInt(push), version: versionToWire(version) };
      return { case: 'ack', value: create(wire.AckSchema, init) };
    }
    case 'nack':
      return { case: 'nack', value: nackToWire(request) };
    case 'resolve': {
      const { id, sidecar, name } = request;
      return { case: 'resolve', value: create(wire.ResolveSchema, { id: BigInt(id), sidecar, name }) };
    }
    case 'want_endpoints': {
      const value = create(wire.WantEndpointsSchema, { clusters: [...request.clusters] });
      return { case: 'wantEndpoints', value };
    }
    case 'want_parts': {
      const value = create(wire.WantPartsSchema, { hashes: request.hashes.map(hashToWire) });
      return { case: 'wantParts', value };
    }
    case 'endpoint_ack': {
      const value = create(wire.EndpointAckSchema, { push: BigInt(request.push) });
      return { case: 'endpointAck', value };
    }
  }
}

function fromWire(
  { message }: wire.StreamRequest,
  path: string,
  report: Report,
): ConfigRequest | UnknownMessage {
  const at = `${path}.${message.case}`;
  switch (message.case) {
    case 'hello':
      return helloFromWire(message.value, at, report);
    case 'subscribe':
      return subscribeFromWire(message.value, at, report);
    case 'unsubscribe':
      return { kind: 'unsubscribe', sidecar: message.value.sidecar };
    case 'ack':
      return {
        kind: 'ack',
        sidecar: message.value.sidecar,
        push: safeInteger(message.value.push, `${at}.push`, report),
        version: versionFromWire(message.value.version, `${at}.version`, report),
      };
    case 'nack':
      return nackFromWire(message.value, at, report);
    case 'resolve':
      return {
        kind: 'resolve',
        id: safeInteger(message.value.id, `${at}.id`, report),
        sidecar: filled(message.value.sidecar, `${at}.sidecar`, report),
        name: filled(message.value.name, `${at}.name`, report),
      };
    case 'wantEndpoints':
      return { kind: 'want_endpoints', clusters: message.value.clusters };
    case 'wantParts':
      return {
        kind: 'want_parts',
        hashes: each(message.value.hashes, `${at}.hashes`, report, hashFromWire),
      };
    case 'endpointAck':
      return { kind: 'endpoint_ack', push: safeInteger(message.value.push, `${at}.push`, report) };
    case undefined:
      return { kind: 'unknown' };
  }
}

function helloToWire(hello: ConfigHello): wire.AgentHello {
  return create(wire.AgentHelloSchema, {
    protocol: protocolToWire(hello.protocol),
    node: hello.node,
    bootId: hello.bootId,
    heldParts: hello.parts.map(hashToWire),
    heldEndpoints: hello.endpoints.map(({ cluster, version, hash }) => ({
      cluster,
      version: BigInt(version),
      hash: hashToWire(hash),
    })),
  });
}

function helloFromWire(message: wire.AgentHello, path: string, report: Report): ConfigHello {
  return {
    kind: 'hello',
    protocol: protocolFromWire(message.protocol, `${path}.protocol`, report),
    node: filled(message.node, `${path}.node`, report),
    bootId: filled(message.bootId, `${path}.bootId`, report),
    parts: each(message.heldParts, `${path}.heldParts`, report, hashFromWire),
    endpoints: each(message.heldEndpoints, `${path}.heldEndpoints`, report, (held, at) => ({
      cluster: held.cluster,
      version: safeInteger(held.version, `${at}.version`, report),
      hash: hashFromWire(held.hash, `${at}.hash`, report),
    })),
  };
}

function subscribeToWire(subscribe: Subscribe): wire.Subscribe {
  const { version } = subscribe;
  return create(wire.SubscribeSchema, {
    sidecar: subscribe.sidecar,
    protocol: protocolToWire(subscribe.protocol),
    ...(version === undefined ? {} : { version: versionToWire(version) }),
    resolved: subscribe.resolved.map(({ namespace, name }) => ({ namespace, name })),
    manifestDigest: hashToWire(subscribe.manifestDigest),
  });
}

function subscribeFromWire(message: wire.Subscribe, path: string, report: Report): Subscribe {
  const { version, manifestDigest } = message;
  return {
    kind: 'subscribe',
    sidecar: filled(message.sidecar, `${path}.sidecar`, report),
    protocol: protocolFromWire(message.protocol, `${path}.protocol`, report),
    version: version === undefined ? undefined : versionFromWire(version, `${path}.version`, report),
    resolved: each(message.resolved, `${path}.resolved`, report, refFromWire),
    manifestDigest:
      manifestDigest.length === 0 ? '' : hashFromWire(manifestDigest, `${path}.manifestDigest`, report),
  };
}

function nackToWire(nack: Nack): wire.Nack {
  return create(wire.NackSchema, {
    sidecar: nack.sidecar,
    push: BigInt(nack.push),
    version: versionToWire(nack.version),
    problems: nack.problems.map(({ path, message }) => ({ path, message })),
  });
}

function nackFromWire(message: wire.Nack, path: string, report: Report): Nack {
  return {
    kind: 'nack',
    sidecar: message.sidecar,
    push: safeInteger(message.push, `${path}.push`, report),
    version: versionFromWire(message.version, `${path}.version`, report),
    problems: message.problems.map(problemFromWire),
  };
}
