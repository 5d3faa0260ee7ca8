/** The Certificates calls: join by token, renew a node, issue for a workload. */
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import { decodeLoose, filled, type Report, safeInteger } from './check.ts';
import { protocolFromWire, protocolToWire } from './conversation.ts';
import * as wire from './gen/heddle/v1/certificates_pb.ts';
import type { Protocol } from './protocol.ts';

export interface JoinRequest {
  readonly protocol: Protocol;
  readonly token: string;
  readonly node: string;
  /** PKCS #10, DER. Only its public key counts. */
  readonly csr: Uint8Array;
}

export interface JoinResponse {
  readonly protocol: Protocol;
  readonly certificate: IssuedCertificate;
  /** `HOST:PORT` of the mutual TLS port; an empty host is the one that was joined. */
  readonly pilotAddress: string;
  readonly trustDomain: string;
}

export interface RenewNodeRequest {
  readonly protocol: Protocol;
  readonly csr: Uint8Array;
}

export interface IssueWorkloadRequest {
  readonly protocol: Protocol;
  readonly namespace: string;
  readonly workload: string;
  readonly csr: Uint8Array;
}

/** The answer to `RenewNode` and `IssueWorkload`. */
export interface CertificateResponse {
  readonly protocol: Protocol;
  readonly certificate: IssuedCertificate;
}

export interface IssuedCertificate {
  /** PEM: leaf first, then intermediates. */
  readonly certificateChain: string;
  /** PEM: the roots of the trust domain. */
  readonly trustBundle: string;
  /** Milliseconds since 1970; half-life counts from here. */
  readonly issuedMs: number;
  readonly notAfterMs: number;
}

export function encodeJoinRequest(request: JoinRequest): Uint8Array {
  const { token, node, csr } = request;
  return encode(wire.JoinRequestSchema, { protocol: protocolToWire(request.protocol), token, node, csr });
}

export function decodeJoinRequest(bytes: Uint8Array): JoinRequest {
  return decodeLoose(wire.JoinRequestSchema, bytes, 'join', (message, path, report) => ({
    protocol: protocolFromWire(message.protocol, `${path}.protocol`, report),
    token: filled(message.token, `${path}.token`, report),
    node: filled(message.node, `${path}.node`, report),
    csr: message.csr,
  }));
}

export function encodeJoinResponse(response: JoinResponse): Uint8Array {
  return encode(wire.JoinResponseSchema, {
    ...responseToWire(response),
    pilotAddress: response.pilotAddress,
    trustDomain: response.trustDomain,
  });
}

export function decodeJoinResponse(bytes: Uint8Array): JoinResponse {
  return decodeLoose(wire.JoinResponseSchema, bytes, 'joined', (message, path, report) => ({
    ...responseFromWire(message, path, report),
    pilotAddress: filled(message.pilotAddress, `${path}.pilotAddress`, report),
    trustDomain: filled(message.trustDomain, `${path}.trustDomain`, report),
  }));
}

export function encodeRenewNodeRequest(request: RenewNodeRequest): Uint8Array {
  return encode(wire.RenewNodeRequestSchema, {
    protocol: protocolToWire(request.protocol),
    csr: request.csr,
  });
}

export function decodeRenewNodeRequest(bytes: Uint8Array): RenewNodeRequest {
  return decodeLoose(wire.RenewNodeRequestSchema, bytes, 'renew', (message, path, report) => ({
    protocol: protocolFromWire(message.protocol, `${path}.protocol`, report),
    csr: message.csr,
  }));
}

export function encodeRenewNodeResponse(response: CertificateResponse): Uint8Array {
  return encode(wire.RenewNodeResponseSchema, responseToWire(response));
}

export function decodeRenewNodeResponse(bytes: Uint8Array): CertificateResponse {
  return decodeLoose(wire.RenewNodeResponseSchema, bytes, 'renewed', responseFromWire);
}

export function encodeIssueWorkloadRequest(request: IssueWorkloadRequest): Uint8Array {
  const { namespace, workload, csr } = request;
  return encode(wire.IssueWorkloadRequestSchema, {
    protocol: protocolToWire(request.protocol),
    namespace,
    workload,
    csr,
  });
}

export function decodeIssueWorkloadRequest(bytes: Uint8Array): IssueWorkloadRequest {
  return decodeLoose(wire.IssueWorkloadRequestSchema, bytes, 'issue', (message, path, report) => ({
    protocol: protocolFromWire(message.protocol, `${path}.protocol`, report),
    namespace: filled(message.namespace, `${path}.namespace`, report),
    workload: filled(message.workload, `${path}.workload`, report),
    csr: message.csr,
  }));
}

export function encodeIssueWorkloadResponse(response: CertificateResponse): Uint8Array {
  return encode(wire.IssueWorkloadResponseSchema, responseToWire(response));
}

export function decodeIssueWorkloadResponse(bytes: Uint8Array): CertificateResponse {
  return decodeLoose(wire.IssueWorkloadResponseSchema, bytes, 'issued', responseFromWire);
}

function encode<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Uint8Array {
  return toBinary(schema, create(schema, init));
}

function responseToWire(response: CertificateResponse) {
  const { certificateChain, trustBundle, issuedMs, notAfterMs } = response.certificate;
  return {
    protocol: protocolToWire(response.protocol),
    certificate: create(wire.IssuedCertificateSchema, {
      certificateChain,
      trustBundle,
      issuedMs: BigInt(Math.floor(issuedMs)),
      notAfterMs: BigInt(Math.floor(notAfterMs)),
    }),
  };
}

function responseFromWire(
  message: wire.JoinResponse | wire.RenewNodeResponse | wire.IssueWorkloadResponse,
  path: string,
  report: Report,
): CertificateResponse {
  const at = `${path}.certificate`;
  const { certificate } = message;
  if (certificate === undefined) report({ path: at, message: 'missing' });
  return {
    protocol: protocolFromWire(message.protocol, `${path}.protocol`, report),
    certificate: {
      certificateChain: filled(certificate?.certificateChain ?? '', `${at}.certificateChain`, report),
      trustBundle: filled(certificate?.trustBundle ?? '', `${at}.trustBundle`, report),
      issuedMs: safeInteger(certificate?.issuedMs ?? 0n, `${at}.issuedMs`, report),
      notAfterMs: safeInteger(certificate?.notAfterMs ?? 0n, `${at}.notAfterMs`, report),
    },
  };
}
