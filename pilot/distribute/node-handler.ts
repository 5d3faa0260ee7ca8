/** What a node says of itself, written down in the order it was said, each message confirmed once it is stored. */
import { MeshError } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { UnknownMessage } from '../../proto/conversation.ts';
import type { NodeMessage, NodeOrder, NodeReport } from '../../proto/node-wire.ts';
import { programProtocol, requireProtocol } from '../../proto/protocol.ts';
import { heartbeatMs, type NodeReports } from '../world/node-reports.ts';
import type { NodeCall, NodeCallHandler } from './node-call.ts';

export interface NodeHandlerOptions {
  readonly reports: NodeReports;
  readonly log: Log;
}

export function createNodeHandler(
  call: NodeCall<NodeOrder>,
  options: NodeHandlerOptions,
): NodeCallHandler<NodeReport | UnknownMessage> {
  const { node } = call.peer;
  const log = options.log.with({ node });
  const { reports } = options;
  let bootId: string | undefined;

  async function greet(hello: Extract<NodeMessage, { kind: 'hello' }>): Promise<void> {
    requireProtocol(hello.protocol, `agent of node '${node}'`);
    if (hello.node !== node) {
      const why = `the certificate is of node '${node}', the agent says it is '${hello.node}'`;
      throw new MeshError('identity_refused', why, { origin: 'downstream' });
    }
    bootId = hello.bootId;
    call.send({ kind: 'hello', protocol: programProtocol, heartbeatMs });
    await reports.heartbeat(node);
  }

  async function take(message: NodeMessage, sequence: number, boot: string): Promise<void> {
    const report = { node, bootId: boot, sequence, instances: [], gone: [] };
    switch (message.kind) {
      case 'hello':
        throw broken(`a second 'hello'`);
      case 'facts':
        return await reports.reportNode({ node, bootId: boot, ...message.facts }, sequence);
      case 'instances':
        return await reports.reportInstances({
          ...report,
          scope: 'all',
          instances: ofNode(message.instances, node),
        });
      case 'instance':
        return await reports.reportInstances({
          ...report,
          scope: 'some',
          instances: ofNode([message.instance], node),
        });
      case 'gone':
        return await reports.reportInstances({ ...report, scope: 'some', gone: [message.id] });
      case 'heartbeat':
        return await reports.heartbeat(node);
      case 'event':
        log.info('node event', {
          instance: message.instance,
          reason: message.reason,
          detail: message.message,
          atMs: message.atMs,
        });
        return;
      case 'result':
        log.info('command result', { command: message.id, done: message.done, detail: message.message });
        return;
    }
  }

  return {
    async onMessage(report) {
      if ('kind' in report) return;
      const { message, sequence } = report;
      if (bootId === undefined) {
        if (message.kind !== 'hello') throw broken(`'${message.kind}' before 'hello'`);
        await greet(message);
      } else await take(message, sequence, bootId);
      call.send({ kind: 'ack', sequence });
    },
    onClose: () => log.info('node stream closed'),
  };
}

/** A node speaks of its own instances only. */
function ofNode<T extends { readonly id: string }>(instances: readonly T[], node: string): readonly T[] {
  for (const { id } of instances) {
    if (!id.endsWith(`@${node}`)) {
      throw new MeshError('denied', `'${id}' is no instance of node '${node}'`, { origin: 'downstream' });
    }
  }
  return instances;
}

function broken(what: string): MeshError {
  return new MeshError('malformed_message', `the agent broke the protocol: ${what}`, {
    origin: 'downstream',
  });
}
