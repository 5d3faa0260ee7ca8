/** Which workloads a Service stands for and which policies bind a workload. */
import type { AppProtocol } from '../../mesh/model.ts';
import type { Selector } from '../../mesh/resource/schema.ts';
import type { ServicePort } from '../../mesh/resource/service.ts';
import type { WorkloadPort } from '../../mesh/resource/workload.ts';
import { type Catalog, labelKey, type Stored } from './catalog.ts';

/** The Workloads behind a Service; a Service without selector has none. */
export function workloadsOf(catalog: Catalog, service: Stored<'Service'>): readonly Stored<'Workload'>[] {
  const { selector } = service.resource.spec;
  const [first, ...others] = Object.entries(selector);
  if (first === undefined) return [];
  const found = catalog.list('Workload', labelKey(service.resource.metadata.namespace, ...first));
  if (others.length === 0) return found;
  return found.filter((workload) => hasLabels(workload.resource.metadata.labels, selector));
}

export function hasLabels(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

/** Whether a policy's selector binds a workload of its namespace; none binds all. */
export function isSelected(
  selector: Selector | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  return selector === undefined || hasLabels(labels, selector.matchLabels);
}

/** The workload's port that a Service port leads to; undefined where it has none such. */
export function targetOf(port: ServicePort, workload: Stored<'Workload'>): WorkloadPort | undefined {
  const target = port.targetPort ?? port.port;
  return workload.resource.spec.ports.find((each) =>
    typeof target === 'number' ? each.port === target : each.name === target,
  );
}

/** What is spoken on a Service's port: its own word, else the workloads', else that is found out. */
export function protocolOf(catalog: Catalog, service: Stored<'Service'>, port: ServicePort): AppProtocol {
  const own = port.appProtocol ?? (port.protocol === 'TCP' ? undefined : port.protocol);
  if (own !== undefined) return ownName(own);
  for (const workload of workloadsOf(catalog, service)) {
    const target = targetOf(port, workload);
    if (target !== undefined) return target.protocol;
  }
  return 'detect';
}

/** Kubernetes' names for what ours are. */
function ownName(protocol: NonNullable<ServicePort['appProtocol']>): AppProtocol {
  switch (protocol) {
    case 'kubernetes.io/h2c':
      return 'http2';
    case 'kubernetes.io/ws':
      return 'http';
    case 'https':
    case 'kubernetes.io/wss':
      return 'tls';
    default:
      return protocol;
  }
}
