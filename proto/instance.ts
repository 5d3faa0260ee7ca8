/** `InstanceReport` to and from its message. */
import { create } from '@bufbuild/protobuf';
import type { InstanceReport } from '../mesh/placement.ts';
import { each, filled, portFrom, portOrZero, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/node_pb.ts';
import { endpointStates } from './words.ts';

export function instanceToWire(instance: InstanceReport): wire.InstanceReport {
  return create(wire.InstanceReportSchema, {
    id: instance.id,
    namespace: instance.namespace,
    workload: instance.workload,
    index: instance.index,
    state: endpointStates.toWire(instance.state),
    addresses: [...instance.addresses],
    linkPort: instance.linkPort,
    ports: instance.ports.map(({ port, plainPort }) => ({
      port,
      ...(plainPort === undefined ? {} : { plainPort }),
    })),
    features: [...instance.features],
    reason: instance.reason,
    restarts: instance.restarts,
  });
}

export function instanceFromWire(message: wire.InstanceReport, path: string, report: Report): InstanceReport {
  return {
    id: filled(message.id, `${path}.id`, report),
    namespace: filled(message.namespace, `${path}.namespace`, report),
    workload: filled(message.workload, `${path}.workload`, report),
    index: message.index,
    state: endpointStates.fromWire(message.state, `${path}.state`, report),
    addresses: message.addresses,
    linkPort: portOrZero(message.linkPort, `${path}.linkPort`, report),
    ports: each(message.ports, `${path}.ports`, report, (one, at) => ({
      port: portFrom(one.port, `${at}.port`, report),
      plainPort: one.plainPort === undefined ? undefined : portFrom(one.plainPort, `${at}.plainPort`, report),
    })),
    features: message.features,
    reason: message.reason,
    restarts: message.restarts,
  };
}
