/**
 * What the pilot hears of this node: its facts, all instances when a stream opens, each change of one after that, and
 * a heartbeat. Sequence numbers grow over restarts of the agent, so that what an earlier life still sends is old.
 */
import { uptime } from 'node:os';
import type { Clock, Timer } from '../../kit/clock.ts';
import type { InstanceReport, NodeFacts } from '../../mesh/placement.ts';
import type { NodeMessage, NodeOrder } from '../../proto/node-wire.ts';
import { programProtocol, requireProtocol } from '../../proto/protocol.ts';
import type { PilotStreams } from './connection.ts';

export interface ReporterInit {
  readonly facts: NodeFacts;
  readonly clock: Clock;
  /** All instances as they are now. */
  readonly instances: () => readonly InstanceReport[];
  /** Answers whether there is such an instance. */
  readonly restart: (instance: string) => boolean;
  /** Seconds since boot; the kernel's by default. */
  readonly uptimeS?: () => number;
}

const defaultHeartbeatMs = 5_000;
const minHeartbeatMs = 100;
/** Messages that one life of the agent may send before its numbers reach those of a life a millisecond younger. */
const perMs = 1_000;

export class Reporter {
  readonly #init: ReporterInit;
  #sequence: number;
  #streams: PilotStreams | undefined;
  #heartbeat: Timer | undefined;

  constructor(init: ReporterInit) {
    this.#init = init;
    this.#sequence = Math.floor((init.uptimeS ?? uptime)() * 1000) * perMs;
  }

  connect(streams: PilotStreams): void {
    this.#streams = streams;
    const { facts, instances } = this.#init;
    this.#send({ kind: 'hello', protocol: programProtocol, node: facts.node, bootId: facts.bootId });
    this.#send({ kind: 'facts', facts });
    this.#send({ kind: 'instances', instances: instances() });
    this.#beat(defaultHeartbeatMs);
  }

  disconnect(): void {
    this.#streams = undefined;
    this.#heartbeat?.cancel();
  }

  changed(instance: InstanceReport): void {
    this.#send({ kind: 'instance', instance });
  }

  gone(id: string): void {
    this.#send({ kind: 'gone', id });
  }

  event(instance: string, reason: string, message: string): void {
    this.#send({ kind: 'event', atMs: this.#init.clock.wallMs(), instance, reason, message });
  }

  take(order: NodeOrder): void {
    switch (order.kind) {
      case 'hello':
        requireProtocol(order.protocol, 'the pilot');
        this.#beat(Math.max(order.heartbeatMs, minHeartbeatMs));
        return;
      case 'restart': {
        const done = this.#init.restart(order.instance);
        this.#result(order.id, done, done ? 'restarting' : `no instance ${order.instance} on this node`);
        return;
      }
      case 'drain':
        this.#result(order.id, false, 'instances of a workload are drained by its placement, not one by one');
        return;
      case 'ack':
        return;
    }
  }

  #result(id: number, done: boolean, message: string): void {
    this.#send({ kind: 'result', id, done, message });
  }

  #beat(periodMs: number): void {
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#init.clock.every(periodMs, () => this.#send({ kind: 'heartbeat' }));
  }

  #send(message: NodeMessage): void {
    if (this.#streams === undefined) return;
    this.#sequence += 1;
    this.#streams.report({ sequence: this.#sequence, message });
  }
}
