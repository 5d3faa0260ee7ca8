/** A node agent for one sidecar that says what the test tells it to, over a real Unix socket. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { IdentityBundle } from '../../mesh/bootstrap.ts';
import type { EndpointSet, Snapshot } from '../../mesh/model.ts';
import { encodeFrame, FrameReader } from '../../proto/frame.ts';
import { manifestOf, partsOf } from '../../proto/part.ts';
import { programProtocol } from '../../proto/protocol.ts';
import { type AgentMessage, decodeSidecarMessage, encodeAgentMessage } from '../../proto/sidecar-wire.ts';
import { defer } from './cleanup.ts';
import { eventually } from './eventually.ts';
import type { Side } from './static-pair.ts';
import { tempFolder } from './temp-folder.ts';

type Said = ReturnType<typeof decodeSidecarMessage>;

export class AgentStandIn {
  readonly socketPath: string;
  /** All that the sidecar said, over every connection. */
  readonly said: Said[] = [];
  readonly #side: Side;
  #identity: IdentityBundle;
  #snapshot: Snapshot;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #push = 0;

  constructor(socketPath: string, side: Side, identity: IdentityBundle) {
    this.socketPath = socketPath;
    this.#side = side;
    this.#identity = identity;
    this.#snapshot = side.snapshot;
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => this.#greet(socket));
    server.listen(this.socketPath);
    await once(server, 'listening');
    this.#server = server;
  }

  /** Goes away, as an agent that is restarted does. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#socket?.destroy();
    server.close();
    await once(server, 'close');
  }

  /** Sends a snapshot and waits for what the sidecar says to it. */
  async push(snapshot: Snapshot): Promise<Extract<Said, { kind: 'ack' | 'nack' }>> {
    this.#snapshot = snapshot;
    const push = this.#sendSnapshot();
    return eventually(() =>
      this.said.find(
        (one): one is Extract<Said, { kind: 'ack' | 'nack' }> =>
          (one.kind === 'ack' || one.kind === 'nack') && one.push === push,
      ),
    );
  }

  renew(identity: IdentityBundle): void {
    this.#identity = identity;
    this.send({ kind: 'identity', identity });
  }

  sendEndpoints(set: EndpointSet): void {
    this.send({ kind: 'endpoints', update: { sets: [set], deltas: [] } });
  }

  send(message: AgentMessage): void {
    this.#socket?.write(encodeFrame(encodeAgentMessage(message)));
  }

  #greet(socket: Socket): void {
    const reader = new FrameReader();
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      for (const bytes of reader.push(chunk)) this.said.push(decodeSidecarMessage(bytes));
    });
    this.send({ kind: 'welcome', protocol: programProtocol, bootstrap: this.#side.bootstrap });
    this.send({ kind: 'identity', identity: this.#identity });
    this.#sendSnapshot();
  }

  #sendSnapshot(): number {
    const parts = partsOf(this.#snapshot);
    this.#push++;
    this.send({ kind: 'parts', parts });
    for (const set of this.#snapshot.endpoints.values()) this.sendEndpoints(set);
    this.send({ kind: 'manifest', push: this.#push, manifest: manifestOf(this.#snapshot.version, parts) });
    return this.#push;
  }
}

export async function startAgentStandIn(
  t: Pick<TestContext, 'after'>,
  side: Side,
  identity: IdentityBundle,
): Promise<AgentStandIn> {
  const agent = new AgentStandIn(join(tempFolder(t), 'agent.sock'), side, identity);
  await agent.listen();
  defer(t, () => agent.close());
  return agent;
}
