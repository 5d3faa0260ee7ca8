/**
 * Configuration and certificates from the node agent, over the Unix socket of this instance. When the agent goes
 * away the sidecar keeps what it has and asks again, with growing pauses; what it holds by then is not sent anew.
 */
import { connect, type Socket } from 'node:net';
import { type Backoff, createBackoff } from '../../kit/backoff.ts';
import type { Clock, Timer } from '../../kit/clock.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import { ParseFailure, type Problem } from '../../kit/parse.ts';
import type { Random } from '../../kit/random.ts';
import type { Bootstrap, IdentityBundle } from '../../mesh/bootstrap.ts';
import type { Snapshot, Version } from '../../mesh/model.ts';
import { Assembler } from '../../proto/assembler.ts';
import type { UnknownMessage } from '../../proto/conversation.ts';
import { encodeFrame, FrameReader } from '../../proto/frame.ts';
import { requireProtocol, sidecarProtocol } from '../../proto/protocol.ts';
import {
  type AgentMessage,
  decodeAgentMessage,
  encodeSidecarMessage,
  type SidecarMessage,
  type SidecarState,
} from '../../proto/sidecar-wire.ts';
import { AskingResolver, type Resolver } from './resolver.ts';

export interface SourceListener {
  onBootstrap(bootstrap: Bootstrap): void;
  onIdentity(identity: IdentityBundle): void;
  /** Puts it in force, or throws a ParseFailure with every problem. */
  onSnapshot(snapshot: Snapshot): void;
  /** Endpoint sets of these clusters are new, nothing else. */
  onEndpoints(snapshot: Snapshot, clusters: readonly string[]): void;
}

export interface AgentSourceOptions {
  readonly socketPath: string;
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const reconnect = { baseMs: 100, maxMs: 5_000, jitter: 0.3 };
/** Questions whose answers are awaited; the oldest are forgotten. */
const maxQuestions = 1_024;

export class AgentSource {
  readonly resolver: Resolver;
  readonly #options: AgentSourceOptions;
  readonly #listener: SourceListener;
  readonly #assembler = new Assembler();
  readonly #backoff: Backoff;
  readonly #resolver: AskingResolver;
  /** Asked names by question id. */
  readonly #questions = new Map<number, string>();
  #lastQuestion = 0;
  #socket: Socket | undefined;
  #retry: Timer | undefined;
  #state: SidecarState = 'starting';
  #isStopped = false;

  constructor(options: AgentSourceOptions, listener: SourceListener) {
    this.#options = options;
    this.#listener = listener;
    this.#backoff = createBackoff(reconnect, options.random);
    this.#resolver = new AskingResolver((name) => this.#ask(name), options.clock);
    this.resolver = this.#resolver;
  }

  start(): void {
    this.#connect();
  }

  /** Tells the agent what the sidecar is doing, now and after each reconnect. */
  report(state: SidecarState): void {
    this.#state = state;
    this.#send({ kind: 'status', state });
  }

  stop(): void {
    this.#isStopped = true;
    this.#retry?.cancel();
    this.#socket?.destroy();
  }

  #connect(): void {
    const { socketPath, instance, log } = this.#options;
    const socket = connect(socketPath);
    const reader = new FrameReader();
    this.#socket = socket;
    socket.on('connect', () => {
      this.#backoff.reset();
      this.#send({ kind: 'hello', protocol: sidecarProtocol, instance });
      this.#send({ kind: 'status', state: this.#state });
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const bytes of reader.push(chunk)) this.#take(decodeAgentMessage(bytes));
      } catch (thrown) {
        log.error('agent broke the protocol, connecting anew', { reason: messageOf(thrown) });
        socket.destroy();
      }
    });
    socket.on('error', (error) => log.debug('agent not reached', { socketPath, reason: error.message }));
    socket.on('close', () => {
      if (this.#isStopped) return;
      this.#retry = this.#options.clock.after(this.#backoff.nextMs(), () => this.#connect());
    });
  }

  #take(message: AgentMessage | UnknownMessage): void {
    switch (message.kind) {
      case 'welcome':
        requireProtocol(message.protocol, 'the node agent');
        this.#listener.onBootstrap(message.bootstrap);
        break;
      case 'identity':
        this.#listener.onIdentity(message.identity);
        break;
      case 'parts':
        this.#assembler.addParts(message.parts);
        this.#assemble();
        break;
      case 'endpoints': {
        const { snapshot, changed, wanted } = this.#assembler.addEndpoints(message.update);
        if (wanted.length > 0) this.#send({ kind: 'want_endpoints', clusters: wanted });
        if (snapshot !== undefined) this.#listener.onEndpoints(snapshot, changed);
        this.#assemble();
        break;
      }
      case 'manifest':
        this.#assembler.offer(message.push, message.manifest);
        this.#assemble();
        break;
      case 'resolved': {
        const name = this.#questions.get(message.id);
        this.#questions.delete(message.id);
        if (name === undefined) break;
        const { answer } = message;
        this.#resolver.answer(
          name,
          answer.kind === 'found' ? { kind: 'known' } : { kind: 'absent', near: answer.suggestions },
        );
        break;
      }
      case 'unknown':
        break;
    }
  }

  #assemble(): void {
    const assembled = this.#assembler.assemble();
    if (assembled.kind === 'waiting') return;
    const { push } = assembled;
    if (assembled.kind === 'refused') {
      this.#nack(push, assembled.version, assembled.problems);
      return;
    }
    const { snapshot } = assembled;
    try {
      this.#listener.onSnapshot(snapshot);
    } catch (thrown) {
      const problems =
        thrown instanceof ParseFailure ? thrown.problems : [{ path: '$', message: messageOf(thrown) }];
      this.#nack(push, snapshot.version, problems);
      return;
    }
    this.#assembler.accept(push);
    this.#options.log.info('snapshot in force', { ...snapshot.version, clusters: snapshot.clusters.size });
    this.#send({ kind: 'ack', push, version: snapshot.version });
  }

  #nack(push: number, version: Version, problems: readonly Problem[]): void {
    this.#options.log.error('snapshot refused, the one before stays', { ...version, problems });
    this.#send({ kind: 'nack', push, version, problems });
  }

  #ask(name: string): void {
    const id = ++this.#lastQuestion;
    const [oldest] = this.#questions.keys();
    if (this.#questions.size >= maxQuestions && oldest !== undefined) this.#questions.delete(oldest);
    this.#questions.set(id, name);
    this.#send({ kind: 'resolve', id, name: hostOf(name) });
  }

  #send(message: SidecarMessage): void {
    if (this.#socket?.readyState === 'open') this.#socket.write(encodeFrame(encodeSidecarMessage(message)));
  }
}

/** An authority without its port. */
function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':');
  return colon > authority.lastIndexOf(']') ? authority.slice(0, colon) : authority;
}
