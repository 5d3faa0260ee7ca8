/** What etcd and gRPC answer, as MeshErrors: the one place that knows their texts and codes. */
import { MeshError, messageOf } from '../../kit/errors.ts';

/** etcd's own messages are stable across 3.x; gRPC codes say the rest. */
const known: readonly (readonly [string, MeshError['code']])[] = [
  ['required revision has been compacted', 'compacted'],
  ['requested lease not found', 'not_found'],
  ['request is too large', 'limit_exceeded'],
  ['too many operations', 'limit_exceeded'],
  ['required revision is a future revision', 'invalid'],
  ['duplicate key given', 'invalid'],
  ['permission denied', 'denied'],
  ['authentication failed', 'denied'],
  ['invalid auth token', 'denied'],
  ['user name is empty', 'denied'],
  ['database space exceeded', 'unavailable'],
];

/** Names that etcd3 gives errors by gRPC code. */
const byName: Readonly<Record<string, MeshError['code']>> = {
  GRPCDeadlineExceededError: 'deadline_exceeded',
  GRPCResourceExhastedError: 'limit_exceeded',
  GRPCUnauthenticatedError: 'denied',
};

const grpcDeadlineExceeded = 4;

/** The MeshError for whatever a call to etcd threw; `what` names the call. */
export function fromEtcd(what: string, thrown: unknown): MeshError {
  if (thrown instanceof MeshError) return thrown;
  const message = messageOf(thrown);
  const matched = known.find(([text]) => message.includes(text))?.[1];
  const code = matched ?? (isLate(thrown) ? 'deadline_exceeded' : byName[constructorOf(thrown)]);
  return new MeshError(code ?? 'unavailable', `etcd ${what}: ${message}`, {
    origin: 'upstream',
    cause: thrown,
  });
}

function isLate(thrown: unknown): boolean {
  return (thrown as { code?: unknown } | undefined)?.code === grpcDeadlineExceeded;
}

function constructorOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.constructor.name : '';
}
