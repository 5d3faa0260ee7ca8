/** A sidecar as the agent's relay sees it: connects to the socket, assembles what comes, answers as it is told. */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Snapshot } from '../../../mesh/model.ts';
import { Assembler } from '../../../proto/assembler.ts';
import { encodeFrame, FrameReader } from '../../../proto/frame.ts';
import { sidecarProtocol } from '../../../proto/protocol.ts';
import {
  type AgentMessage,
  decodeAgentMessage,
  encodeSidecarMessage,
  type SidecarMessage,
} from '../../../proto/sidecar-wire.ts';
import { defer } from '../cleanup.ts';

export class ScriptedSidecar {
  readonly heard: AgentMessage[] = [];
  readonly #assembler = new Assembler();
  readonly #socket: Socket;
  /** What it does with a complete snapshot. */
  verdict: 'ack' | 'nack' | 'silent' = 'ack';
  state: 'open' | 'closed' = 'open';

  constructor(t: TestContext, path: string, instance: string) {
    const reader = new FrameReader();
    this.#socket = connect(path);
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.state = 'closed';
    });
    this.#socket.on('data', (chunk: Buffer) => {
      for (const bytes of reader.push(chunk)) {
        const message = decodeAgentMessage(bytes);
        if (message.kind === 'unknown') continue;
        this.heard.push(message);
        this.#take(message);
      }
    });
    this.send({ kind: 'hello', protocol: sidecarProtocol, instance });
    defer(t, () => this.close());
  }

  get active(): Snapshot | undefined {
    return this.#assembler.active;
  }

  kinds(): string[] {
    return this.heard.map(({ kind }) => kind);
  }

  send(message: SidecarMessage): void {
    this.#socket.write(encodeFrame(encodeSidecarMessage(message)));
  }

  /** Bytes as they are, for what no sidecar would send. */
  sendRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(message: AgentMessage): void {
    if (message.kind === 'parts') this.#assembler.addParts(message.parts);
    else if (message.kind === 'endpoints') {
      const { wanted } = this.#assembler.addEndpoints(message.update);
      if (wanted.length > 0) this.send({ kind: 'want_endpoints', clusters: wanted });
    } else if (message.kind === 'manifest') this.#assembler.offer(message.push, message.manifest);
    else return;
    const assembled = this.#assembler.assemble();
    if (assembled.kind !== 'snapshot' || this.verdict === 'silent') return;
    const { push, snapshot } = assembled;
    if (this.verdict === 'nack') {
      const problems = [{ path: 'self', message: 'not to my taste' }];
      this.send({ kind: 'nack', push, version: snapshot.version, problems });
      return;
    }
    this.#assembler.accept(push);
    this.send({ kind: 'ack', push, version: snapshot.version });
  }
}
