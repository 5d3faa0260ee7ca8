/** What `get` shows of each kind beside name and age. */

export interface Column {
  readonly name: string;
  readonly of: (spec: unknown) => string;
}

interface Ref {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** The fields that columns look at; specs come checked from the pilot. */
interface AnySpec {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } & Readonly<
    Record<string, unknown>
  >;
  readonly ports?: readonly { readonly port: number }[];
  readonly service?: string;
  readonly addresses?: readonly string[];
  readonly state?: string;
  readonly node?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly replicas?: number;
  readonly parentRefs?: readonly Ref[];
  readonly hostnames?: readonly string[];
  readonly rules?: readonly unknown[];
  readonly targetRef?: Ref;
  readonly action?: string;
  readonly mtls?: { readonly mode?: string };
}

const column = (name: string, of: (spec: AnySpec) => string | undefined): Column => ({
  name,
  of: (spec) => of(spec as AnySpec) ?? '-',
});

const ports = column('PORTS', (spec) => spec.ports?.map((each) => each.port).join(','));
const rules = column('RULES', (spec) => String(spec.rules?.length ?? 0));
const hostnames = column('HOSTNAMES', (spec) => spec.hostnames?.join(','));
const parents = column('PARENTS', (spec) => spec.parentRefs?.map(refText).join(','));
const selected = column('SELECTS', (spec) => labelsText(spec.selector?.matchLabels ?? {}) || 'namespace');

const byKind: Readonly<Record<string, readonly Column[]>> = {
  Service: [ports, column('SELECTS', (spec) => labelsText((spec.selector ?? {}) as Record<string, string>))],
  ServiceInstance: [
    column('SERVICE', (spec) => spec.service),
    column('ADDRESSES', (spec) => spec.addresses?.join(',')),
    column('STATE', (spec) => spec.state),
  ],
  Workload: [
    column('NODE', (spec) => spec.node ?? labelsText(spec.nodeSelector ?? {})),
    column('REPLICAS', (spec) => String(spec.replicas ?? 1)),
    ports,
  ],
  HTTPRoute: [parents, rules],
  GRPCRoute: [parents, rules],
  TCPRoute: [parents, rules],
  TLSRoute: [parents, hostnames, rules],
  TrafficPolicy: [
    column('TARGET', (spec) => (spec.targetRef === undefined ? undefined : refText(spec.targetRef))),
  ],
  AuthorizationPolicy: [column('ACTION', (spec) => spec.action), selected, rules],
  PeerAuthentication: [column('MODE', (spec) => spec.mtls?.mode), selected],
};

export function columnsOf(kind: string): readonly Column[] {
  return byKind[kind] ?? [];
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function refText(ref: Ref): string {
  return `${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name ?? ''}`;
}
