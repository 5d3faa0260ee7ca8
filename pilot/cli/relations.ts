/** What is tied to a resource: routes, policies, workloads, services, instances. Pure; `describe` prints it. */
import type { InstanceBody, ResourceBody } from '../api/shapes.ts';
import { describeRef, refOf } from '../world/change-set.ts';

export interface Relations {
  readonly groups: readonly { readonly label: string; readonly members: readonly string[] }[];
  /** Undefined where the kind has none. */
  readonly instances: readonly InstanceBody[] | undefined;
}

interface Ref {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

type Labels = Readonly<Record<string, string>>;

interface RouteSpec {
  readonly parentRefs?: readonly Ref[];
  readonly rules?: readonly { readonly backendRefs?: readonly Ref[] }[];
}

const policyKinds = ['AuthorizationPolicy', 'PeerAuthentication'];

export function relationsOf(
  resource: ResourceBody,
  all: readonly ResourceBody[],
  running: readonly InstanceBody[],
): Relations {
  if (resource.kind === 'Service') return ofService(resource, all, running);
  if (resource.kind === 'Workload') return ofWorkload(resource, all, running);
  if (resource.kind.endsWith('Route')) return ofRoute(resource);
  if (policyKinds.includes(resource.kind)) return ofPolicy(resource, all);
  return { groups: [], instances: undefined };
}

function ofService(
  service: ResourceBody,
  all: readonly ResourceBody[],
  running: readonly InstanceBody[],
): Relations {
  const workloads = all.filter((each) => each.kind === 'Workload' && selects(service, each));
  const instances = running.filter((instance) => workloads.some((workload) => isOf(instance, workload)));
  const routes = all.filter((each) =>
    (each.spec as RouteSpec).parentRefs?.some((ref) => leadsTo(each, ref, service)),
  );
  const backends = all.filter((each) =>
    (each.spec as RouteSpec).rules?.some((rule) =>
      rule.backendRefs?.some((ref) => leadsTo(each, ref, service)),
    ),
  );
  const policies = all.filter((each) => {
    const { targetRef } = each.spec as { targetRef?: Ref };
    return targetRef !== undefined && leadsTo(each, targetRef, service);
  });
  const fixed = all.filter(
    (each) =>
      each.kind === 'ServiceInstance' &&
      isInNamespaceOf(each, service) &&
      (each.spec as { service?: string }).service === service.metadata.name,
  );
  return {
    groups: [
      { label: 'Routes', members: routes.map(show) },
      { label: 'Backend of', members: backends.map(show) },
      { label: 'Policies', members: policies.map(show) },
      { label: 'Workloads', members: workloads.map(show) },
      { label: 'Instances', members: fixed.map(show) },
    ],
    instances,
  };
}

function ofWorkload(
  workload: ResourceBody,
  all: readonly ResourceBody[],
  running: readonly InstanceBody[],
): Relations {
  const services = all.filter((each) => each.kind === 'Service' && selects(each, workload));
  const policies = all.filter((each) => policyKinds.includes(each.kind) && binds(each, workload));
  return {
    groups: [
      { label: 'Services', members: services.map(show) },
      { label: 'Policies', members: policies.map(show) },
    ],
    instances: running.filter((instance) => isOf(instance, workload)),
  };
}

function ofRoute(route: ResourceBody): Relations {
  const spec = route.spec as RouteSpec;
  const shown = (ref: Ref) =>
    `${ref.kind ?? 'Service'} ${ref.namespace ?? route.metadata.namespace}/${ref.name}`;
  const backends = (spec.rules ?? []).flatMap((rule) => rule.backendRefs ?? []);
  return {
    groups: [
      { label: 'Parents', members: (spec.parentRefs ?? []).map(shown) },
      { label: 'Backends', members: [...new Set(backends.map(shown))] },
    ],
    instances: undefined,
  };
}

function ofPolicy(policy: ResourceBody, all: readonly ResourceBody[]): Relations {
  const workloads = all.filter((each) => each.kind === 'Workload' && binds(policy, each));
  return { groups: [{ label: 'Binds', members: workloads.map(show) }], instances: undefined };
}

function leadsTo(from: ResourceBody, ref: Ref, service: ResourceBody): boolean {
  const { name, namespace } = service.metadata;
  return (
    (ref.kind ?? 'Service') === 'Service' &&
    ref.name === name &&
    (ref.namespace ?? from.metadata.namespace) === namespace
  );
}

/** A Service without a selector selects nothing. */
function selects(service: ResourceBody, workload: ResourceBody): boolean {
  const selector = (service.spec as { selector?: Labels }).selector ?? {};
  if (Object.keys(selector).length === 0) return false;
  return isInNamespaceOf(service, workload) && hasLabels(workload, selector);
}

/** A policy without a selector binds its whole namespace. */
function binds(policy: ResourceBody, workload: ResourceBody): boolean {
  const { selector } = policy.spec as { selector?: { matchLabels: Labels } };
  return isInNamespaceOf(policy, workload) && hasLabels(workload, selector?.matchLabels ?? {});
}

function hasLabels({ metadata }: ResourceBody, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => metadata.labels[name] === value);
}

function isOf(instance: InstanceBody, { metadata }: ResourceBody): boolean {
  return instance.namespace === metadata.namespace && instance.workload === metadata.name;
}

function isInNamespaceOf(a: ResourceBody, b: ResourceBody): boolean {
  return a.metadata.namespace === b.metadata.namespace;
}

function show(resource: ResourceBody): string {
  return describeRef(refOf(resource));
}
