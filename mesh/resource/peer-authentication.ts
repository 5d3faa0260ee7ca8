/** Whether workloads take callers without a mesh certificate; shapes and meaning are Istio's. */
import { type Static, Type } from 'typebox';
import { defineKind } from './kind.ts';
import { closed, oneOf, selector } from './schema.ts';

const mode = oneOf(['STRICT', 'PERMISSIVE']);

const schema = closed({
  /** Left out: all workloads of the namespace. */
  selector,
  mtls: closed({ mode: oneOf(['STRICT', 'PERMISSIVE'], { default: 'STRICT' }) }, { default: {} }),
  /** By the Workload's port. */
  portLevelMtls: Type.Unsafe<Record<string, { mode: Static<typeof mode> }>>({
    type: 'object',
    default: {},
    maxProperties: 64,
    additionalProperties: closed({ mode }),
  }),
});

export type PeerAuthenticationSpec = Static<typeof schema>;

export const peerAuthentication = defineKind({
  name: 'PeerAuthentication',
  schema,
  example: {
    selector: { matchLabels: { app: 'orders' } },
    mtls: { mode: 'STRICT' },
    portLevelMtls: { 8080: { mode: 'PERMISSIVE' } },
  },
  check(spec, report) {
    for (const key of Object.keys(spec.portLevelMtls)) {
      const port = Number(key);
      const isPort = /^[0-9]{1,5}$/.test(key) && port >= 1 && port <= 65_535;
      if (!isPort) report(['portLevelMtls', key], `expected a port from 1 to 65535, got '${key}'`);
      if (isPort && spec.selector === undefined) {
        report(['portLevelMtls', key], "modes of single ports need a 'selector'");
      }
    }
  },
});
