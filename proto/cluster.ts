/** `Cluster` to and from its message. */
import { create } from '@bufbuild/protobuf';
import type { Cluster } from '../mesh/model.ts';
import { filled, portFrom, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { limitsFromWire, refFromWire, timeoutsFromWire } from './settings.ts';
import { appProtocols, balances } from './words.ts';

export function clusterToWire(cluster: Cluster): wire.Cluster {
  return create(wire.ClusterSchema, {
    name: cluster.name,
    service: { ...cluster.service },
    port: cluster.port,
    protocol: appProtocols.toWire(cluster.protocol),
    balance: balances.toWire(cluster.balance),
    timeouts: { ...cluster.timeouts },
    retry: { attempts: cluster.retry.attempts },
    limits: { ...cluster.limits },
  });
}

export function clusterFromWire(message: wire.Cluster, path: string, report: Report): Cluster {
  return {
    name: filled(message.name, `${path}.name`, report),
    service: refFromWire(message.service, `${path}.service`, report),
    port: portFrom(message.port, `${path}.port`, report),
    protocol: appProtocols.fromWire(message.protocol, `${path}.protocol`, report),
    balance: balances.fromWire(message.balance, `${path}.balance`, report),
    timeouts: timeoutsFromWire(message.timeouts, `${path}.timeouts`, report),
    retry: { attempts: message.retry?.attempts ?? 0 },
    limits: limitsFromWire(message.limits, `${path}.limits`, report),
  };
}
