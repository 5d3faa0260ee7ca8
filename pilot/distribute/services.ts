/** The gRPC services of the pilot: Config, Node and Certificates on one mutual TLS port, joining on its own. */
import type { Server, ServerDuplexStream, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import type { Registrar } from '../../certs/registrar.ts';
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { ConfigRequest, ConfigResponse } from '../../proto/config-wire.ts';
import type { UnknownMessage } from '../../proto/conversation.ts';
import type { NodeOrder, NodeReport } from '../../proto/node-wire.ts';
import { type Protocol, programProtocol, requireProtocol } from '../../proto/protocol.ts';
import * as rpc from '../../proto/rpc.ts';
import type { NodeReports } from '../world/node-reports.ts';
import type { Distributor } from './distributor.ts';
import { serviceErrorOf } from './grpc-status.ts';
import { type NodeCallOptions, serveNodeCall } from './node-call.ts';
import { createNodeHandler } from './node-handler.ts';
import { peerNodeOf } from './peer-node.ts';

export interface ServiceOptions {
  readonly trustDomain: string;
  readonly distributor: Distributor;
  readonly reports: NodeReports;
  readonly registrar: Registrar;
  readonly clock: Clock;
  readonly log: Log;
}

export interface JoinOptions {
  readonly trustDomain: string;
  readonly registrar: Registrar;
  /** `HOST:PORT` of the mutual TLS port, for a node that just joined. */
  readonly pilotAddress: () => string;
  readonly log: Log;
}

/** Everything that a node with a certificate may ask for. */
export function addNodeServices(server: Server, options: ServiceOptions): void {
  const { trustDomain, registrar, clock, log } = options;
  const callOptions: NodeCallOptions = { what: 'config', trustDomain, clock, log };
  const callerOf = (call: Parameters<typeof peerNodeOf>[0]) =>
    peerNodeOf(call, trustDomain, clock.wallMs()).node;

  server.register(
    rpc.configStream.path,
    (call: ServerDuplexStream<ConfigRequest | UnknownMessage, ConfigResponse>) =>
      serveNodeCall(call, callOptions, (node) => {
        const stream = options.distributor.open(node.peer.node, {
          send: node.send,
          end: node.fail,
        });
        return { onMessage: stream.receive, onClose: stream.close };
      }),
    rpc.configStream.responseSerialize,
    rpc.configStream.requestDeserialize,
    'bidi',
  );
  server.register(
    rpc.nodeReport.path,
    (call: ServerDuplexStream<NodeReport | UnknownMessage, NodeOrder>) =>
      serveNodeCall(call, { ...callOptions, what: 'node' }, (node) =>
        createNodeHandler(node, { reports: options.reports, log }),
      ),
    rpc.nodeReport.responseSerialize,
    rpc.nodeReport.requestDeserialize,
    'bidi',
  );
  addUnary(server, rpc.renewNode, log, async (request, call) => {
    const node = callerOf(call);
    return { protocol: programProtocol, certificate: await registrar.renewNode(node, request.csr) };
  });
  addUnary(server, rpc.issueWorkload, log, async (request, call) => {
    const node = callerOf(call);
    return { protocol: programProtocol, certificate: await registrar.issueWorkload(node, request) };
  });
}

/** The one thing that a node without a certificate may ask for. */
export function addJoinService(server: Server, options: JoinOptions): void {
  const { registrar, trustDomain, pilotAddress, log } = options;
  addUnary(server, rpc.join, log, async ({ token, node, csr }, call) => ({
    protocol: programProtocol,
    certificate: await registrar.join({ token, node, csr, address: addressOf(call.getPeer()) }),
    pilotAddress: pilotAddress(),
    trustDomain,
  }));
}

function addUnary<Request extends { readonly protocol: Protocol }, Response>(
  server: Server,
  method: rpc.Method<Request, Response>,
  log: Log,
  handle: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
): void {
  const answer = async (call: ServerUnaryCall<Request, Response>): Promise<Response> => {
    requireProtocol(call.request.protocol, `the caller at ${call.getPeer()}`);
    return await handle(call.request, call);
  };
  server.register(
    method.path,
    (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => {
      answer(call).then(
        (response) => callback(null, response),
        (error: unknown) => {
          if (!(error instanceof MeshError)) {
            const stack = error instanceof Error ? error.stack : String(error);
            log.error('call failed', { path: method.path, error: stack });
          }
          callback(serviceErrorOf(error));
        },
      );
    },
    method.responseSerialize,
    method.requestDeserialize,
    'unary',
  );
}

/** The address without the port, which differs with each connection. */
function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':'));
}
