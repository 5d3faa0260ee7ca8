/** One worker of a group: a sidecar on inherited sockets that does what its group says and goes when it goes. */
import { systemClock } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { systemRandom } from '../../kit/random.ts';
import type { Snapshot } from '../../mesh/model.ts';
import { setLimits } from '../limits.ts';
import { AskingResolver } from '../runtime/resolver.ts';
import { type DrainKind, Sidecar } from '../sidecar.ts';
import type { InheritedSockets } from '../succession.ts';
import type { FromWorker, ToWorker } from './messages.ts';

export interface WorkerInit {
  readonly log: Log;
  readonly inherited: InheritedSockets;
  readonly send: (message: FromWorker) => void;
  /** The sidecar has ended; the process may go. */
  readonly onEnd: () => void;
}

/** Returns what to do with each message of the group. */
export function createWorker(init: WorkerInit): (message: ToWorker) => void {
  const { log, send, onEnd } = init;
  const resolver = new AskingResolver((authority) => send({ kind: 'resolve', authority }), systemClock);
  let sidecar: Sidecar | undefined;
  let snapshot: Snapshot | undefined;

  const start = async (message: Extract<ToWorker, { kind: 'start' }>): Promise<void> => {
    snapshot = message.snapshot;
    setLimits(message.bootstrap.limits ?? {});
    sidecar = new Sidecar({
      bootstrap: message.bootstrap,
      identity: message.identity,
      snapshot,
      resolver: message.resolves ? resolver : undefined,
      inherited: init.inherited,
      adminPage: 'elsewhere',
      memoryLimitBytes: message.memoryLimitBytes,
      clock: systemClock,
      random: systemRandom,
      log,
      onDrainAsked: () => {},
    });
    await sidecar.start();
    send({ kind: 'ready', listening: sidecar.addresses.listening });
  };
  const drain = (how: DrainKind) => {
    if (sidecar === undefined) onEnd();
    else sidecar.drain(how).then(onEnd, onEnd);
  };

  return (message) => {
    switch (message.kind) {
      case 'start':
        start(message).catch((thrown: unknown) => send({ kind: 'failed', message: messageOf(thrown) }));
        break;
      case 'identity':
        sidecar?.renew(message.identity);
        break;
      case 'snapshot':
        snapshot = message.snapshot;
        sidecar?.apply(snapshot);
        break;
      case 'endpoints': {
        if (snapshot === undefined) break;
        const endpoints = new Map(snapshot.endpoints);
        for (const set of message.sets) endpoints.set(set.cluster, set);
        snapshot = { ...snapshot, endpoints };
        sidecar?.applyEndpoints(
          snapshot,
          message.sets.map(({ cluster }) => cluster),
        );
        break;
      }
      case 'resolved':
        resolver.answer(message.authority, message.answer);
        break;
      case 'report':
        if (sidecar !== undefined) send({ kind: 'report', id: message.id, report: sidecar.report });
        break;
      case 'drain':
        drain(message.how);
        break;
    }
  };
}
