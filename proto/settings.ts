/** The small messages that several parts share: references, limits, timeouts, versions. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Limits, ServiceRef, Timeouts, Version } from '../mesh/model.ts';
import { filled, type Report, safeInteger } from './check.ts';
import type * as wire from './gen/heddle/v1/model_pb.ts';
import type * as protocolWire from './gen/heddle/v1/protocol_pb.ts';

const noRef: ServiceRef = { namespace: '', name: '' };

export function refFromWire(message: wire.ServiceRef | undefined, path: string, report: Report): ServiceRef {
  if (message === undefined) {
    report({ path, message: 'missing' });
    return noRef;
  }
  return {
    namespace: filled(message.namespace, `${path}.namespace`, report),
    name: filled(message.name, `${path}.name`, report),
  };
}

export function limitsFromWire(message: wire.Limits | undefined, path: string, report: Report): Limits {
  if (message === undefined) report({ path, message: 'missing' });
  return { maxConnections: message?.maxConnections ?? 0, maxRequests: message?.maxRequests ?? 0 };
}

export function timeoutsFromWire(message: wire.Timeouts | undefined, path: string, report: Report): Timeouts {
  if (message === undefined) report({ path, message: 'missing' });
  return {
    connectMs: message?.connectMs ?? 0,
    requestMs: message?.requestMs ?? 0,
    idleMs: message?.idleMs ?? 0,
    detectMs: message?.detectMs ?? 0,
  };
}

export function versionToWire(
  version: Version,
): MessageInitShape<typeof protocolWire.VersionSchema> & { epoch: bigint; revision: bigint } {
  return { epoch: BigInt(version.epoch), revision: BigInt(version.revision) };
}

export function versionFromWire(
  message: protocolWire.Version | undefined,
  path: string,
  report: Report,
): Version {
  if (message === undefined) report({ path, message: 'missing' });
  return {
    epoch: safeInteger(message?.epoch ?? 0n, `${path}.epoch`, report),
    revision: safeInteger(message?.revision ?? 0n, `${path}.revision`, report),
  };
}
