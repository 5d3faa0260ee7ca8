/** `Self`, the sidecar's own part, to and from its message. */
import { create } from '@bufbuild/protobuf';
import type { Call, InboundPort, Self } from '../mesh/model.ts';
import { each, filled, portFrom, type Report } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';
import { limitsFromWire, refFromWire, timeoutsFromWire } from './settings.ts';
import { accessLogModes, appProtocols, mtlsModes } from './words.ts';

export function selfToWire(self: Self): wire.Self {
  return create(wire.SelfSchema, {
    trustDomain: self.trustDomain,
    namespace: self.namespace,
    workload: self.workload,
    account: self.account,
    node: self.node,
    identity: self.identity,
    inbound: self.inbound.map(inboundToWire),
    calls: self.calls.map(callToWire),
    policies: [...self.policies],
    accessLog: accessLogModes.toWire(self.accessLog),
    via: self.via,
  });
}

export function selfFromWire(message: wire.Self, path: string, report: Report): Self {
  return {
    trustDomain: filled(message.trustDomain, `${path}.trustDomain`, report),
    namespace: filled(message.namespace, `${path}.namespace`, report),
    workload: filled(message.workload, `${path}.workload`, report),
    account: filled(message.account, `${path}.account`, report),
    node: message.node,
    identity: filled(message.identity, `${path}.identity`, report),
    inbound: each(message.inbound, `${path}.inbound`, report, inboundFromWire),
    calls: each(message.calls, `${path}.calls`, report, callFromWire),
    policies: message.policies,
    accessLog: accessLogModes.fromWire(message.accessLog, `${path}.accessLog`, report),
    via: message.via,
  };
}

export function callToWire(call: Call): wire.Call {
  return create(wire.CallSchema, {
    service: { ...call.service },
    port: call.port,
    protocol: appProtocols.toWire(call.protocol),
    ...(call.localPort === undefined ? {} : { localPort: call.localPort }),
  });
}

export function callFromWire(message: wire.Call, path: string, report: Report): Call {
  const { localPort } = message;
  return {
    service: refFromWire(message.service, `${path}.service`, report),
    port: portFrom(message.port, `${path}.port`, report),
    protocol: appProtocols.fromWire(message.protocol, `${path}.protocol`, report),
    localPort: localPort === undefined ? undefined : portFrom(localPort, `${path}.localPort`, report),
  };
}

function inboundToWire(port: InboundPort): wire.InboundPort {
  return create(wire.InboundPortSchema, {
    name: port.name,
    port: port.port,
    protocol: appProtocols.toWire(port.protocol),
    mtls: mtlsModes.toWire(port.mtls),
    shared: port.shared,
    limits: { ...port.limits },
    timeouts: { ...port.timeouts },
  });
}

function inboundFromWire(message: wire.InboundPort, path: string, report: Report): InboundPort {
  return {
    name: message.name,
    port: portFrom(message.port, `${path}.port`, report),
    protocol: appProtocols.fromWire(message.protocol, `${path}.protocol`, report),
    mtls: mtlsModes.fromWire(message.mtls, `${path}.mtls`, report),
    shared: message.shared,
    limits: limitsFromWire(message.limits, `${path}.limits`, report),
    timeouts: timeoutsFromWire(message.timeouts, `${path}.timeouts`, report),
  };
}
