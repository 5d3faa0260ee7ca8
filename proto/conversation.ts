/** What the pilot's stream and the sidecar's socket have in common: hellos, problems, endpoint updates, answers. */
import { create } from '@bufbuild/protobuf';
import type { Problem } from '../kit/parse.ts';
import type { ServiceRef } from '../mesh/model.ts';
import type { EndpointUpdate } from './assembler.ts';
import { each, type Report } from './check.ts';
import {
  endpointDeltaFromWire,
  endpointDeltaToWire,
  endpointSetFromWire,
  endpointSetToWire,
} from './endpoints.ts';
import * as wire from './gen/heddle/v1/config_pb.ts';
import * as protocolWire from './gen/heddle/v1/protocol_pb.ts';
import type { Protocol } from './protocol.ts';
import { refFromWire } from './settings.ts';

/** What a look-up of a name came to. */
export type ResolveAnswer =
  /** The manifest that came before the answer holds the service. */
  | { readonly kind: 'found'; readonly service: ServiceRef }
  /** No such service; names that may have been meant, nearest first. */
  | { readonly kind: 'absent'; readonly suggestions: readonly string[] };

/** A kind of message that only a newer sender knows: to be ignored. */
export interface UnknownMessage {
  readonly kind: 'unknown';
}

export function protocolToWire(protocol: Protocol): protocolWire.Protocol {
  return create(protocolWire.ProtocolSchema, {
    version: protocol.version,
    features: [...protocol.features],
  });
}

export function protocolFromWire(
  message: protocolWire.Protocol | undefined,
  path: string,
  report: Report,
): Protocol {
  if (message === undefined) report({ path, message: 'missing' });
  return { version: message?.version ?? 0, features: message?.features ?? [] };
}

export function problemFromWire(message: protocolWire.Problem): Problem {
  return { path: message.path, message: message.message };
}

export function updateToWire(update: EndpointUpdate, push: number): wire.EndpointUpdate {
  return create(wire.EndpointUpdateSchema, {
    push: BigInt(push),
    sets: update.sets.map(endpointSetToWire),
    deltas: update.deltas.map(endpointDeltaToWire),
  });
}

export function updateFromWire(message: wire.EndpointUpdate, path: string, report: Report): EndpointUpdate {
  return {
    sets: each(message.sets, `${path}.sets`, report, endpointSetFromWire),
    deltas: each(message.deltas, `${path}.deltas`, report, endpointDeltaFromWire),
  };
}

export function answerToWire(answer: ResolveAnswer): Exclude<wire.Resolved['answer'], { case: undefined }> {
  if (answer.kind === 'found') {
    return { case: 'service', value: { $typeName: 'heddle.v1.ServiceRef', ...answer.service } };
  }
  return {
    case: 'absent',
    value: create(wire.AbsentSchema, { suggestions: [...answer.suggestions] }),
  };
}

export function answerFromWire(answer: wire.Resolved['answer'], path: string, report: Report): ResolveAnswer {
  switch (answer.case) {
    case 'service':
      return { kind: 'found', service: refFromWire(answer.value, path, report) };
    case 'absent':
      return { kind: 'absent', suggestions: answer.value.suggestions };
    case undefined:
      report({ path, message: 'missing' });
      return { kind: 'absent', suggestions: [] };
  }
}
