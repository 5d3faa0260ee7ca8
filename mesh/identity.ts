/**
 * SPIFFE names of workloads and nodes, by the X509-SVID and SPIFFE-ID standards:
 * `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT` and `spiffe://TRUST-DOMAIN/node/NODE`.
 */
export interface WorkloadIdentity {
  readonly kind: 'workload';
  readonly trustDomain: string;
  readonly namespace: string;
  readonly account: string;
}

export interface NodeIdentity {
  readonly kind: 'node';
  readonly trustDomain: string;
  readonly node: string;
}

export type Identity = WorkloadIdentity | NodeIdentity;

/** SPIFFE-ID §2.1 and §2.3: longest trust domain and longest whole name, in bytes. */
const maxTrustDomainLength = 255;
const maxNameLength = 2048;

const trustDomainShape = /^[a-z0-9._-]+$/;
const segmentShape = /^[A-Za-z0-9._-]+$/;

export function workloadName(trustDomain: string, namespace: string, account: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
}

export function nodeName(trustDomain: string, node: string): string {
  return `spiffe://${trustDomain}/node/${node}`;
}

/** The name of every pilot of the mesh; never issued to a workload. */
export function pilotName(trustDomain: string): string {
  return workloadName(trustDomain, 'heddle', 'pilot');
}

/** The identity that `uri` names, or undefined where it is not a well-formed name of ours. */
export function parseIdentity(uri: string): Identity | undefined {
  if (uri.length > maxNameLength || !uri.startsWith('spiffe://')) return undefined;
  const [trustDomain, ...segments] = uri.slice('spiffe://'.length).split('/');
  if (trustDomain === undefined || !isTrustDomain(trustDomain) || !segments.every(isSegment))
    return undefined;
  const [first, second, third, fourth] = segments;
  if (segments.length === 2 && first === 'node' && second !== undefined) {
    return { kind: 'node', trustDomain, node: second };
  }
  if (
    segments.length === 4 &&
    first === 'ns' &&
    third === 'sa' &&
    second !== undefined &&
    fourth !== undefined
  ) {
    return { kind: 'workload', trustDomain, namespace: second, account: fourth };
  }
  return undefined;
}

export function isTrustDomain(text: string): boolean {
  return text.length <= maxTrustDomainLength && trustDomainShape.test(text);
}

/** Longest name of a node, in bytes. */
const maxNodeNameLength = 253;

export function isNodeName(text: string): boolean {
  return text.length <= maxNodeNameLength && isSegment(text);
}

function isSegment(text: string): boolean {
  return segmentShape.test(text) && text !== '.' && text !== '..';
}
