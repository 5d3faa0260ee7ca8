/** The model's words and their numbers on the wire. */
import { words } from './check.ts';
import * as wire from './gen/heddle/v1/model_pb.ts';

export const appProtocols = words({
  http: wire.AppProtocol.HTTP,
  http2: wire.AppProtocol.HTTP2,
  grpc: wire.AppProtocol.GRPC,
  tcp: wire.AppProtocol.TCP,
  tls: wire.AppProtocol.TLS,
  detect: wire.AppProtocol.DETECT,
});

export const accessLogModes = words({
  none: wire.AccessLogMode.NONE,
  errors: wire.AccessLogMode.ERRORS,
  sampled: wire.AccessLogMode.SAMPLED,
  all: wire.AccessLogMode.ALL,
});

export const mtlsModes = words({
  strict: wire.MtlsMode.STRICT,
  permissive: wire.MtlsMode.PERMISSIVE,
});

export const pathMatchKinds = words({
  exact: wire.PathMatchKind.EXACT,
  prefix: wire.PathMatchKind.PREFIX,
  regex: wire.PathMatchKind.REGEX,
});

export const valueMatchKinds = words({
  exact: wire.ValueMatchKind.EXACT,
  regex: wire.ValueMatchKind.REGEX,
});

export const pathChangeKinds = words({
  full: wire.PathChangeKind.FULL,
  prefix: wire.PathChangeKind.PREFIX,
});

export const balances = words({ round_robin: wire.Balance.ROUND_ROBIN });

export const authorizationActions = words({
  allow: wire.AuthorizationAction.ALLOW,
  deny: wire.AuthorizationAction.DENY,
});

export const authorizationPathKinds = words({
  exact: wire.AuthorizationPathKind.EXACT,
  prefix: wire.AuthorizationPathKind.PREFIX,
});

export const transports = words({
  link: wire.Transport.LINK,
  tls: wire.Transport.TLS,
  plain: wire.Transport.PLAIN,
});

export const endpointStates = words({
  ready: wire.EndpointState.READY,
  draining: wire.EndpointState.DRAINING,
  unready: wire.EndpointState.UNREADY,
  unknown: wire.EndpointState.UNKNOWN,
});

export const partKinds = words({
  self: wire.PartKind.SELF,
  service: wire.PartKind.SERVICE,
  cluster: wire.PartKind.CLUSTER,
  policy: wire.PartKind.POLICY,
});
