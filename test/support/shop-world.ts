/** A small world, and what the pilot makes of it for its caller. */
import type { RouteRule, Snapshot } from '../../mesh/model.ts';
import { createBuilder } from '../../pilot/build/build.ts';
import type { World } from '../../pilot/world/world.ts';

/** A caller, a service of two versions, a service of another namespace outside the mesh. */
export const shop = `
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, namespace: shop, labels: { app: web } }
spec:
  node: one
  account: front
  ports: [{ name: http, port: 8080 }, { port: 7000, protocol: tcp, shared: true }]
  calls: [{ service: orders }, { service: ledger.bank, port: 5432, localPort: 5432 }, { service: ghost, port: 1 }]
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders-v1, namespace: shop, labels: { app: orders, version: v1 } }
spec: { node: one, account: orders, ports: [{ name: http, port: 3000 }] }
---
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders-v2, namespace: shop, labels: { app: orders, version: v2 } }
spec: { nodeSelector: { disk: fast }, account: orders, ports: [{ name: http, port: 3001 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { selector: { app: orders }, ports: [{ name: web, port: 80, targetPort: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders-v2, namespace: shop }
spec: { selector: { app: orders, version: v2 }, ports: [{ port: 80, targetPort: 3001 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: ledger, namespace: bank }
spec: { ports: [{ name: db, port: 5432, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: ServiceInstance
metadata: { name: ledger-1, namespace: bank }
spec: { service: ledger, addresses: [10.9.9.9], ports: [{ port: 5432, targetPort: 6432 }] }
`;

export const route = (name: string, namespace: string, rules: string, kind = 'HTTPRoute') => `
apiVersion: gateway.networking.k8s.io/v1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  parentRefs: [{ kind: Service, group: '', name: orders, namespace: shop }]
  rules: ${rules}
`;

export const web = { workload: 'shop/web', node: 'one' };

export function build(world: World, subscriber = web): Snapshot {
  return createBuilder().build(world, subscriber);
}

/** The rules of the first port of a service. */
export function rules(snapshot: Snapshot, service = 'shop/orders'): readonly RouteRule[] {
  return snapshot.services.get(service)?.ports[0]?.rules ?? [];
}

/** Where a rule's requests go, as one line. */
export function targets(rule: RouteRule | undefined): string[] {
  return (rule?.backends ?? []).map(
    ({ weight, target }) => `${weight} ${'cluster' in target ? target.cluster : `! ${target.problem}`}`,
  );
}
