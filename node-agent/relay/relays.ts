/** The relay sockets of all instances of this node. */
import type { Log } from '../../kit/log.ts';
import type { ConfigHub } from '../config/hub.ts';
import { instanceFiles, type NodeSettings, sidecarUserOf } from '../plan/instance-plan.ts';
import type { SupervisedInstance } from '../supervisor/supervisor.ts';
import { resolveUser } from '../supervisor/user.ts';
import { RelayServer } from './relay-server.ts';

type RelaySettings = Pick<NodeSettings, 'stateDir' | 'sidecarUser'>;

export class Relays {
  readonly #settings: RelaySettings;
  readonly #hub: ConfigHub;
  readonly #log: Log;
  readonly #servers = new Map<string, RelayServer>();

  constructor(settings: RelaySettings, hub: ConfigHub, log: Log) {
    this.#settings = settings;
    this.#hub = hub;
    this.#log = log;
  }

  /** Serves the instance's socket, with this bootstrap from now on. Throws MeshError where it cannot. */
  async open({ id, workload, bootstrap }: SupervisedInstance): Promise<void> {
    const existing = this.#servers.get(id);
    if (existing !== undefined) {
      existing.setBootstrap(bootstrap);
      return;
    }
    const user = sidecarUserOf(workload, this.#settings);
    const server = new RelayServer({
      instance: id,
      path: instanceFiles(this.#settings.stateDir, id).relaySocket,
      bootstrap,
      owner: user === undefined ? undefined : resolveUser(user),
      hub: this.#hub,
      log: this.#log,
    });
    await server.listen();
    this.#servers.set(id, server);
  }

  async close(id: string): Promise<void> {
    const server = this.#servers.get(id);
    this.#servers.delete(id);
    await server?.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((id) => this.close(id)));
  }
}
