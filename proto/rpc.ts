/**
 * The gRPC methods of pilot and agent as plain descriptions that `@grpc/grpc-js` takes as they are, on either
 * side: `new grpc.Client(…).makeBidiStreamRequest(path, requestSerialize, responseDeserialize)` and
 * `server.addService(service, handlers)`.
 */
import * as certificates from './certificates-wire.ts';
import { decodeConfigRequest, encodeConfigRequest } from './config-request.ts';
import { decodeConfigResponse, encodeConfigResponse } from './config-response.ts';
import type { ConfigRequest, ConfigResponse } from './config-wire.ts';
import type { UnknownMessage } from './conversation.ts';
import * as node from './node-wire.ts';

/** One method. `Sent` types are what a side may say, `Heard` what it may be told by a newer peer. */
export interface Method<Request, Response, HeardRequest = Request, HeardResponse = Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => HeardRequest;
  readonly responseSerialize: (value: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => HeardResponse;
}

const configService = '/heddle.v1.ConfigService';
const certificatesService = '/heddle.v1.CertificatesService';
const nodeService = '/heddle.v1.NodeService';

export const configStream: Method<
  ConfigRequest,
  ConfigResponse,
  ConfigRequest | UnknownMessage,
  ConfigResponse | UnknownMessage
> = {
  path: `${configService}/Stream`,
  requestStream: true,
  responseStream: true,
  requestSerialize: (value) => buffer(encodeConfigRequest(value)),
  requestDeserialize: decodeConfigRequest,
  responseSerialize: (value) => buffer(encodeConfigResponse(value)),
  responseDeserialize: decodeConfigResponse,
};

export const nodeReport: Method<
  node.NodeReport,
  node.NodeOrder,
  node.NodeReport | UnknownMessage,
  node.NodeOrder | UnknownMessage
> = {
  path: `${nodeService}/Report`,
  requestStream: true,
  responseStream: true,
  requestSerialize: (value) => buffer(node.encodeNodeReport(value)),
  requestDeserialize: node.decodeNodeReport,
  responseSerialize: (value) => buffer(node.encodeNodeOrder(value)),
  responseDeserialize: node.decodeNodeOrder,
};

export const join: Method<certificates.JoinRequest, certificates.JoinResponse> = {
  path: `${certificatesService}/Join`,
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) => buffer(certificates.encodeJoinRequest(value)),
  requestDeserialize: certificates.decodeJoinRequest,
  responseSerialize: (value) => buffer(certificates.encodeJoinResponse(value)),
  responseDeserialize: certificates.decodeJoinResponse,
};

export const renewNode: Method<certificates.RenewNodeRequest, certificates.CertificateResponse> = {
  path: `${certificatesService}/RenewNode`,
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) => buffer(certificates.encodeRenewNodeRequest(value)),
  requestDeserialize: certificates.decodeRenewNodeRequest,
  responseSerialize: (value) => buffer(certificates.encodeRenewNodeResponse(value)),
  responseDeserialize: certificates.decodeRenewNodeResponse,
};

export const issueWorkload: Method<certificates.IssueWorkloadRequest, certificates.CertificateResponse> = {
  path: `${certificatesService}/IssueWorkload`,
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) => buffer(certificates.encodeIssueWorkloadRequest(value)),
  requestDeserialize: certificates.decodeIssueWorkloadRequest,
  responseSerialize: (value) => buffer(certificates.encodeIssueWorkloadResponse(value)),
  responseDeserialize: certificates.decodeIssueWorkloadResponse,
};

/** A view of the same memory: nothing is copied. */
function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
