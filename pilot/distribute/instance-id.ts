/** Names of instances: `NAMESPACE/WORKLOAD.INDEX@NODE`. */
export interface InstanceName {
  readonly namespace: string;
  readonly workload: string;
  readonly index: number;
  readonly node: string;
}

const shape = /^([^/@]+)\/([^/@]+)\.(\d{1,9})@([^/@]+)$/;

/** Undefined where `id` is no such name. */
export function parseInstanceId(id: string): InstanceName | undefined {
  const [, namespace, workload, index, node] = shape.exec(id) ?? [];
  if (namespace === undefined || workload === undefined || node === undefined) return undefined;
  return { namespace, workload, index: Number(index), node };
}
