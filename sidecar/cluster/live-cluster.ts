// hot: pick runs once per request.
/**
 * A cluster at work: its endpoints with their pools, the picker over those that may be picked, its limits.
 * It outlives snapshots; new endpoints or a new description change it in place, connections stay.
 */
import type { MeshError } from '../../kit/errors.ts';
import type { Random } from '../../kit/random.ts';
import type { Cluster, Endpoint, EndpointSet } from '../../mesh/model.ts';
import { Field } from '../codec/field.ts';
import type { Picker } from './balance/balancer.ts';
import { balancePolicies } from './balance/index.ts';
import type { Pool } from './pool.ts';
import { subsetFor } from './subset.ts';

/** Of endpoints with weights one may come up many times in a row. */
const picksForAnother = 32;

/** An endpoint with its connections. */
export interface Host {
  endpoint: Endpoint;
  readonly pool: Pool;
  /** Names the receiver's port on a link; undefined where the endpoint is reached otherwise. */
  readonly portField: Field | undefined;
  weight: number;
  /** Requests in flight. */
  active: number;
}

/**
 * Makes the pool of one endpoint; how it is reached (link, tls, plain) is decided there. The cluster's description is to
 * be read when it is needed, for another may take its place.
 */
export type PoolFactory = (endpoint: Endpoint, cluster: { readonly description: Cluster }) => Pool;

export interface ClusterServices {
  readonly createPool: PoolFactory;
  readonly random: Random;
  /** This caller's instance id, by which it chooses among many endpoints. */
  readonly caller: string;
}

export class LiveCluster {
  description: Cluster;
  /** Requests in flight over all hosts. */
  active = 0;
  readonly #services: ClusterServices;
  readonly #hosts = new Map<string, Host>();
  #version = -1;
  #picker: Picker<Host> | undefined;

  constructor(description: Cluster, services: ClusterServices) {
    this.description = description;
    this.#services = services;
  }

  get hosts(): Iterable<Host> {
    return this.#hosts.values();
  }

  get endpointVersion(): number {
    return this.#version;
  }

  /** The endpoint for the next request, another than `except` where there is one; undefined where none is left. */
  pick(except?: Host): Host | undefined {
    const picker = this.#picker;
    if (picker === undefined) return undefined;
    let host = picker.pick();
    for (let tries = 1; host === except && tries < picksForAnother && this.#hosts.size > 1; tries++) {
      host = picker.pick();
    }
    return host;
  }

  setEndpoints(set: EndpointSet): void {
    this.#version = set.version;
    const gone = new Set(this.#hosts.keys());
    for (const endpoint of set.endpoints) {
      gone.delete(endpoint.id);
      const host = this.#hosts.get(endpoint.id);
      if (host !== undefined && isSameAddress(host.endpoint, endpoint)) {
        host.endpoint = endpoint;
        host.weight = endpoint.weight;
      } else {
        host?.pool.drain();
        this.#hosts.set(endpoint.id, {
          endpoint,
          pool: this.#services.createPool(endpoint, this),
          portField:
            endpoint.transport === 'link' ? new Field('heddle-port', String(endpoint.targetPort)) : undefined,
          weight: endpoint.weight,
          active: 0,
        });
      }
    }
    for (const id of gone) {
      this.#hosts.get(id)?.pool.drain();
      this.#hosts.delete(id);
    }
    this.#rebuildPicker();
  }

  /** New certificates: links are replaced, make before break. */
  replaceConnections(): void {
    for (const host of this.#hosts.values()) if (host.pool.connections > 0) host.pool.replace();
  }

  /** Memory is short: connections that lie idle are closed. */
  shrink(): void {
    for (const host of this.#hosts.values()) host.pool.shrink();
  }

  drain(): void {
    for (const host of this.#hosts.values()) host.pool.drain();
  }

  destroy(error: MeshError): void {
    for (const host of this.#hosts.values()) host.pool.destroy(error);
  }

  /** Ready endpoints; where there are none, those whose node has not been heard of lately. */
  #rebuildPicker(): void {
    const hosts = [...this.#hosts.values()].filter((host) => host.weight > 0);
    const ready = hosts.filter((host) => host.endpoint.state === 'ready');
    const eligible = ready.length > 0 ? ready : hosts.filter((host) => host.endpoint.state === 'unknown');
    const policy = balancePolicies.get(this.description.balance);
    if (policy === undefined) throw new Error(`no balance policy '${this.description.balance}'`);
    const { caller, random } = this.#services;
    const linked = eligible.every((host) => host.endpoint.transport === 'link');
    const chosen = linked ? subsetFor(caller, eligible) : eligible;
    this.#picker = chosen.length > 0 ? policy.build(chosen, random) : undefined;
  }
}

function isSameAddress(a: Endpoint, b: Endpoint): boolean {
  return (
    a.port === b.port &&
    a.targetPort === b.targetPort &&
    a.identity === b.identity &&
    a.transport === b.transport &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, at) => address === b.addresses[at])
  );
}
