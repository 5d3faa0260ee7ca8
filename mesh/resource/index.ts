/** Every kind of resource that operators write. A new one is one file and one line here. */
import { registry } from '../../kit/registry.ts';
import { authorizationPolicy } from './authorization-policy.ts';
import { grpcRoute } from './grpc-route.ts';
import { httpRoute } from './http-route.ts';
import type { ResourceKind } from './kind.ts';
import { peerAuthentication } from './peer-authentication.ts';
import { referenceGrant } from './reference-grant.ts';
import { service } from './service.ts';
import { serviceInstance } from './service-instance.ts';
import { tcpRoute } from './tcp-route.ts';
import { tlsRoute } from './tls-route.ts';
import { trafficPolicy } from './traffic-policy.ts';
import { workload } from './workload.ts';

export const resourceKinds: ReadonlyMap<string, ResourceKind> = registry<ResourceKind>('resource kind', [
  service,
  serviceInstance,
  workload,
  httpRoute,
  grpcRoute,
  tcpRoute,
  tlsRoute,
  referenceGrant,
  authorizationPolicy,
  peerAuthentication,
  trafficPolicy,
]);
