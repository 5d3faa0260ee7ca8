import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findings } from '../../../../pilot/build/findings.ts';
import { worldOf } from '../../../support/world.ts';

describe('findings', () => {
  it('are none of a world in which everything leads somewhere', () => {
    assert.deepEqual(
      findings(
        worldOf(`
apiVersion: heddle/v1
kind: Workload
metadata: { name: orders, labels: { app: orders } }
spec: { node: one, ports: [{ name: http, port: 8080 }], calls: [{ service: orders }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: orders }
spec: { selector: { app: orders }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: orders }
spec:
  parentRefs: [{ kind: Service, name: orders }]
  rules: [{ backendRefs: [{ name: orders, port: 80 }] }]
`),
      ),
      [],
    );
  });

  it('name what leads nowhere, by stable codes', () => {
    const found = findings(
      worldOf(`
apiVersion: heddle/v1
kind: Workload
metadata: { name: web, labels: { app: web } }
spec: { ports: [{ name: http, port: 8080 }], calls: [{ service: ghost }, { service: web, port: 1 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 9 }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { name: empty }
spec: { selector: { app: none }, ports: [{ port: 5, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: ServiceInstance
metadata: { name: i }
spec: { service: ghost, addresses: [10.0.0.1] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r }
spec:
  parentRefs:
    - { kind: Service, name: web }
    - { kind: Service, name: ghost }
    - { kind: Service, name: web, port: 1 }
    - { kind: Service, name: empty }
    - { name: gateway }
  rules:
    - backendRefs: [{ name: ghost, port: 80 }, { name: web, port: 81 }, { name: web, namespace: bank, port: 80 }]
    - matches: [{ path: { value: /x } }]
---
apiVersion: heddle/v1
kind: TrafficPolicy
metadata: { name: t }
spec: { targetRef: { name: ghost } }
---
apiVersion: heddle/v1
kind: AuthorizationPolicy
metadata: { name: a }
spec: { selector: { matchLabels: { app: nobody } } }
`),
    );
    assert.deepEqual(
      found.map(({ code, kind, resource, path }) => `${code} ${kind} ${resource} ${path}`),
      [
        'HED0114 AuthorizationPolicy default/a spec.selector',
        'HED0102 HTTPRoute default/r spec.parentRefs[1]',
        'HED0105 HTTPRoute default/r spec.parentRefs[2]',
        'HED0105 HTTPRoute default/r spec.parentRefs[3]',
        'HED0106 HTTPRoute default/r spec.parentRefs[4]',
        'HED0101 HTTPRoute default/r spec.rules[0].backendRefs[0]',
        'HED0103 HTTPRoute default/r spec.rules[0].backendRefs[1]',
        'HED0104 HTTPRoute default/r spec.rules[0].backendRefs[2]',
        'HED0107 HTTPRoute default/r spec.rules[1]',
        'HED0108 Service default/empty spec.selector',
        'HED0109 Service default/web spec.ports[0]',
        'HED0110 ServiceInstance default/i spec.service',
        'HED0113 TrafficPolicy default/t spec.targetRef',
        'HED0111 Workload default/web spec',
        'HED0112 Workload default/web spec.calls[0]',
        'HED0112 Workload default/web spec.calls[1]',
      ],
    );
    assert.equal(found.find((finding) => finding.code === 'HED0101')?.name, 'route-without-service');
  });
});
