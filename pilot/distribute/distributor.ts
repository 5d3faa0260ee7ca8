/**
 * All Config streams of this pilot. A change of resources goes to every stream after a short wait that merges
 * what comes together; a change of endpoints takes the fast lane: the next turn of the loop, the clusters it
 * touches and nothing else. Work on many streams yields to the loop.
 */
import type { Clock } from '../../kit/clock.ts';
import { MeshError } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { ConfigResponse } from '../../proto/config-wire.ts';
import type { SidecarStatus } from '../api/sidecar-status.ts';
import type { Builder } from '../build/build.ts';
import type { World } from '../world/world.ts';
import { affectedClusters } from './affected.ts';
import { NodeStream } from './node-stream.ts';
import { createPlanner, type Plan } from './planner.ts';

/** The pilot's live World, as far as distribution looks at it. */
export interface WorldSource {
  readonly current: World;
  subscribe(listener: (world: World, change: WorldDifference, previous: World) => void): () => void;
}

export interface WorldDifference {
  readonly resources: ReadonlySet<string>;
  readonly nodes: ReadonlySet<string>;
  readonly instances: ReadonlySet<string>;
}

export interface DistributorOptions {
  readonly world: WorldSource;
  readonly builder: Builder;
  /** Names this pilot. */
  readonly pilot: string;
  readonly trustBundle: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** One agent's stream as its transport drives it. */
export interface OpenStream {
  /** Throws MeshError where the agent breaks the protocol. */
  readonly receive: NodeStream['receive'];
  close(): void;
}

export interface StreamEnds {
  send(response: ConfigResponse): void;
  /** Ends the stream, for a reason that lies here: the agent may come again. */
  end(reason: MeshError): void;
}

export interface Distributor {
  open(node: string, ends: StreamEnds): OpenStream;
  /** Every sidecar that a stream of this pilot carries, by id. */
  status(): SidecarStatus[];
  updateTrust(trustBundle: string): void;
  close(): void;
}

/** Changes of resources that come within this time go out together. */
const mergeMs = 20;
/** How long the loop is held before others get their turn. */
const sliceMs = 5;

interface Entry {
  readonly stream: NodeStream;
  readonly ends: StreamEnds;
}

export function createDistributor(options: DistributorOptions): Distributor {
  const { world: source, clock, log } = options;
  const planner = createPlanner(options.builder);
  const streams = new Map<string, Entry>();
  let plan: Plan = planner.planFor(source.current);
  let trustBundle = options.trustBundle;
  /** Streams that the present pass of resources has still to reach. */
  let outdated: NodeStream[] = [];
  let isPassScheduled = false;
  let changedClusters = new Set<string>();
  let isEndpointTurnScheduled = false;

  const unsubscribe = source.subscribe((world, change, previous) => {
    plan = planner.planFor(world);
    if (change.resources.size > 0) schedulePass();
    else for (const node of change.nodes) updateNode(node);
    if (change.instances.size + change.nodes.size === 0) return;
    for (const cluster of affectedClusters(world, previous, change)) changedClusters.add(cluster);
    if (changedClusters.size > 0 && !isEndpointTurnScheduled) {
      isEndpointTurnScheduled = true;
      clock.after(0, pushEndpoints);
    }
  });

  /** Its labels may have moved workloads to it or away. */
  function updateNode(node: string): void {
    const entry = streams.get(node);
    if (entry !== undefined) guarded(entry, () => entry.stream.update(plan));
  }

  function pushEndpoints(): void {
    isEndpointTurnScheduled = false;
    const clusters = changedClusters;
    changedClusters = new Set();
    for (const entry of streams.values()) {
      guarded(entry, () => entry.stream.updateEndpoints(plan, clusters));
    }
  }

  function schedulePass(): void {
    if (isPassScheduled) return;
    isPassScheduled = true;
    clock.after(mergeMs, () => {
      isPassScheduled = false;
      const isRunning = outdated.length > 0;
      outdated = Array.from(streams.values(), (entry) => entry.stream);
      if (!isRunning) continuePass();
    });
  }

  function continuePass(): void {
    const untilMs = clock.nowMs() + sliceMs;
    while (outdated.length > 0 && clock.nowMs() < untilMs) {
      const stream = outdated.pop();
      const entry = stream && streams.get(stream.node);
      if (entry !== undefined && entry.stream === stream) {
        guarded(entry, () => entry.stream.update(plan));
      }
    }
    if (outdated.length > 0) clock.after(0, continuePass);
  }

  /** One stream's trouble must not keep the others from their changes. */
  function guarded(entry: Entry, run: () => void): void {
    try {
      run();
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      log.error('configuration stream failed', { node: entry.stream.node, error: stack });
      drop(entry);
      entry.ends.end(over(entry, 'failed; the log says more'));
    }
  }

  function drop(entry: Entry): void {
    if (streams.get(entry.stream.node) === entry) streams.delete(entry.stream.node);
  }

  return {
    open(node, ends) {
      const { pilot } = options;
      const stream = new NodeStream({ node, pilot, plan, trustBundle, clock, log, send: ends.send });
      const entry = { stream, ends };
      const former = streams.get(node);
      streams.set(node, entry);
      if (former !== undefined) former.ends.end(over(former, 'is replaced by another of that node'));
      return {
        receive: (request) => stream.receive(request),
        close: () => drop(entry),
      };
    },
    status: () =>
      Array.from(streams.values(), (entry) => entry.stream.status())
        .flat()
        .sort((a, b) => (a.sidecar < b.sidecar ? -1 : 1)),
    updateTrust(next) {
      trustBundle = next;
      for (const entry of streams.values()) guarded(entry, () => entry.stream.updateTrust(next));
    },
    close() {
      unsubscribe();
      outdated = [];
      for (const entry of [...streams.values()]) entry.ends.end(over(entry, 'ends with this pilot'));
      streams.clear();
    },
  };
}

function over({ stream }: Entry, why: string): MeshError {
  return new MeshError('unavailable', `the stream of node '${stream.node}' ${why}`, {
    origin: 'local',
    retry: 'always',
  });
}
