/** The Node stream: what an agent reports of its host and instances, and what it is told to do. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { InstanceReport, NodeFacts } from '../mesh/placement.ts';
import { decodeLoose, each, filled, type Report, safeInteger } from './check.ts';
import { protocolFromWire, protocolToWire, type UnknownMessage } from './conversation.ts';
import * as wire from './gen/heddle/v1/node_pb.ts';
import { instanceFromWire, instanceToWire } from './instance.ts';
import type { Protocol } from './protocol.ts';

/** What an agent says; `sequence` grows with each message of one boot and fences what an earlier life still sends. */
export interface NodeReport {
  readonly sequence: number;
  readonly message: NodeMessage;
}

export type NodeMessage =
  /** First. */
  | {
      readonly kind: 'hello';
      readonly protocol: Protocol;
      readonly node: string;
      readonly bootId: string;
    }
  | {
      readonly kind: 'facts';
      readonly facts: Pick<NodeFacts, 'labels' | 'addresses' | 'network' | 'locality'>;
    }
  /** Every instance of the node; what is not named does not exist any more. */
  | { readonly kind: 'instances'; readonly instances: readonly InstanceReport[] }
  | { readonly kind: 'instance'; readonly instance: InstanceReport }
  | { readonly kind: 'gone'; readonly id: string }
  | { readonly kind: 'heartbeat' }
  | {
      readonly kind: 'event';
      readonly atMs: number;
      readonly instance: string;
      /** A stable word: `started`, `exited`, `ready`, `unready`, `adopted`, `shared_uid`. */
      readonly reason: string;
      readonly message: string;
    }
  | { readonly kind: 'result'; readonly id: number; readonly done: boolean; readonly message: string };

/** What a pilot says. */
export type NodeOrder =
  /** First. */
  | { readonly kind: 'hello'; readonly protocol: Protocol; readonly heartbeatMs: number }
  /** Everything up to this sequence is stored. */
  | { readonly kind: 'ack'; readonly sequence: number }
  | { readonly kind: 'restart'; readonly id: number; readonly instance: string }
  | { readonly kind: 'drain'; readonly id: number; readonly instance: string };

export function encodeNodeReport(report: NodeReport): Uint8Array {
  return toBinary(
    wire.ReportRequestSchema,
    create(wire.ReportRequestSchema, {
      sequence: BigInt(report.sequence),
      message: messageToCase(report.message),
    }),
  );
}

/** Throws a ParseFailure where the bytes are not a message. */
export function decodeNodeReport(bytes: Uint8Array): NodeReport | UnknownMessage {
  return decodeLoose(wire.ReportRequestSchema, bytes, 'report', (request, path, report) => {
    const message = messageFromWire(request.message, path, report);
    if (message === undefined) return { kind: 'unknown' };
    return { sequence: safeInteger(request.sequence, `${path}.sequence`, report), message };
  });
}

export function encodeNodeOrder(order: NodeOrder): Uint8Array {
  return toBinary(
    wire.ReportResponseSchema,
    create(wire.ReportResponseSchema, { message: orderToCase(order) }),
  );
}

/** Throws a ParseFailure where the bytes are not a message. */
export function decodeNodeOrder(bytes: Uint8Array): NodeOrder | UnknownMessage {
  return decodeLoose(wire.ReportResponseSchema, bytes, 'order', orderFromWire);
}

function messageToCase(message: NodeMessage): wire.ReportRequest['message'] {
  switch (message.kind) {
    case 'hello': {
      const { node, bootId } = message;
      const init = { protocol: protocolToWire(message.protocol), node, bootId };
      return { case: 'hello', value: create(wire.NodeHelloSchema, init) };
    }
    case 'facts': {
      const { labels, addresses, network, locality } = message.facts;
      const init = {
        labels: { ...labels },
        addresses: [...addresses],
        network,
        locality: { ...locality },
      };
      return { case: 'facts', value: create(wire.NodeFactsSchema, init) };
    }
    case 'instances': {
      const init = { instances: message.instances.map(instanceToWire) };
      return { case: 'instances', value: create(wire.InstanceListSchema, init) };
    }
    case 'instance':
      return { case: 'instance', value: instanceToWire(message.instance) };
    case 'gone':
      return { case: 'gone', value: create(wire.InstanceGoneSchema, { id: message.id }) };
    case 'heartbeat':
      return { case: 'heartbeat', value: create(wire.HeartbeatSchema) };
    case 'event': {
      const { instance, reason, message: text } = message;
      const init = { atMs: BigInt(Math.floor(message.atMs)), instance, reason, message: text };
      return { case: 'event', value: create(wire.NodeEventSchema, init) };
    }
    case 'result': {
      const { id, done, message: text } = message;
      const init = { id: BigInt(id), done, message: text };
      return { case: 'result', value: create(wire.CommandResultSchema, init) };
    }
  }
}

function messageFromWire(
  message: wire.ReportRequest['message'],
  path: string,
  report: Report,
): NodeMessage | undefined {
  const at = `${path}.${message.case}`;
  switch (message.case) {
    case 'hello':
      return {
        kind: 'hello',
        protocol: protocolFromWire(message.value.protocol, `${at}.protocol`, report),
        node: filled(message.value.node, `${at}.node`, report),
        bootId: filled(message.value.bootId, `${at}.bootId`, report),
      };
    case 'facts':
      return { kind: 'facts', facts: factsFromWire(message.value) };
    case 'instances':
      return {
        kind: 'instances',
        instances: each(message.value.instances, `${at}.instances`, report, instanceFromWire),
      };
    case 'instance':
      return { kind: 'instance', instance: instanceFromWire(message.value, at, report) };
    case 'gone':
      return { kind: 'gone', id: filled(message.value.id, `${at}.id`, report) };
    case 'heartbeat':
      return { kind: 'heartbeat' };
    case 'event': {
      const { instance, reason, message: text } = message.value;
      const atMs = safeInteger(message.value.atMs, `${at}.atMs`, report);
      return { kind: 'event', atMs, instance, reason, message: text };
    }
    case 'result': {
      const { done, message: text } = message.value;
      return {
        kind: 'result',
        id: safeInteger(message.value.id, `${at}.id`, report),
        done,
        message: text,
      };
    }
    case undefined:
      return undefined;
  }
}

function factsFromWire(message: wire.NodeFacts): Extract<NodeMessage, { kind: 'facts' }>['facts'] {
  return {
    labels: message.labels,
    addresses: message.addresses,
    network: message.network,
    locality: { region: message.locality?.region ?? '', zone: message.locality?.zone ?? '' },
  };
}

function orderToCase(order: NodeOrder): wire.ReportResponse['message'] {
  switch (order.kind) {
    case 'hello': {
      const init = { protocol: protocolToWire(order.protocol), heartbeatMs: BigInt(order.heartbeatMs) };
      return { case: 'hello', value: create(wire.NodeWelcomeSchema, init) };
    }
    case 'ack': {
      const value = create(wire.ReportAckSchema, { sequence: BigInt(order.sequence) });
      return { case: 'ack', value };
    }
    case 'restart':
    case 'drain': {
      const schema = order.kind === 'restart' ? wire.RestartInstanceSchema : wire.DrainInstanceSchema;
      const value = create(schema, { instance: order.instance });
      const action = { case: order.kind, value } as wire.Command['action'];
      return { case: 'command', value: create(wire.CommandSchema, { id: BigInt(order.id), action }) };
    }
  }
}

function orderFromWire(
  { message }: wire.ReportResponse,
  path: string,
  report: Report,
): NodeOrder | UnknownMessage {
  const at = `${path}.${message.case}`;
  switch (message.case) {
    case 'hello':
      return {
        kind: 'hello',
        protocol: protocolFromWire(message.value.protocol, `${at}.protocol`, report),
        heartbeatMs: safeInteger(message.value.heartbeatMs, `${at}.heartbeatMs`, report),
      };
    case 'ack':
      return { kind: 'ack', sequence: safeInteger(message.value.sequence, `${at}.sequence`, report) };
    case 'command': {
      const { action } = message.value;
      const id = safeInteger(message.value.id, `${at}.id`, report);
      if (action.case === undefined) return { kind: 'unknown' };
      return { kind: action.case, id, instance: filled(action.value.instance, `${at}.instance`, report) };
    }
    case undefined:
      return { kind: 'unknown' };
  }
}
