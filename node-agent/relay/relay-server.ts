/**
 * The Unix socket of one instance, on which its sidecar gets bootstrap, identity and configuration. Who may open
 * it is settled by its folder and mode: only the user that the workload runs as.
 */
import { chmodSync, chownSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { MeshError, messageOf } from '../../kit/errors.ts';
import type { Log } from '../../kit/log.ts';
import type { Bootstrap } from '../../mesh/bootstrap.ts';
import { encodeFrame, FrameReader } from '../../proto/frame.ts';
import { programProtocol, requireProtocol } from '../../proto/protocol.ts';
import {
  type AgentMessage,
  decodeSidecarMessage,
  encodeAgentMessage,
  type SidecarMessage,
} from '../../proto/sidecar-wire.ts';
import type { ConfigHub } from '../config/hub.ts';
import { maxSocketPath } from '../plan/instance-plan.ts';
import type { UserIds } from '../supervisor/user.ts';

export interface RelayInit {
  readonly instance: string;
  readonly path: string;
  readonly bootstrap: Bootstrap;
  /** The workload's user, where it is not the agent's own. */
  readonly owner: UserIds | undefined;
  readonly hub: ConfigHub;
  readonly log: Log;
}

/** A sidecar that does not read gets no more than this; it is cut off and begins anew. */
const maxUnsentBytes = 64 * 1024 * 1024;
/** A sidecar's own messages are small. */
const maxHeardBytes = 1024 * 1024;
/** The sidecar, its successor during a hand-over, and one that has not noticed yet. */
const maxConnections = 4;

export class RelayServer {
  readonly #init: RelayInit;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #bootstrap: Bootstrap;

  constructor(init: RelayInit) {
    this.#init = init;
    this.#bootstrap = init.bootstrap;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = maxConnections;
  }

  /** Opens the socket. Throws MeshError where its path is too long or not ours to use. */
  async listen(): Promise<void> {
    const { path, owner } = this.#init;
    if (Buffer.byteLength(path) > maxSocketPath) {
      throw new MeshError(
        'invalid',
        `socket path ${path} is longer than ${maxSocketPath} bytes: choose a shorter state folder`,
        { origin: 'local' },
      );
    }
    const folder = dirname(path);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
    removeOldSocket(path);
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, resolve);
    });
    this.#server.on('error', (error) =>
      this.#init.log.error('relay socket failed', { path, reason: error.message }),
    );
    chmodSync(path, 0o600);
    if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
  }

  /** For processes that connect from now on. */
  setBootstrap(bootstrap: Bootstrap): void {
    this.#bootstrap = bootstrap;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const { instance, hub, log } = this.#init;
    const reader = new FrameReader(maxHeardBytes);
    let greeted: 'waiting' | 'greeted' = 'waiting';
    const send = (message: AgentMessage): void => {
      if (socket.destroyed) return;
      socket.write(encodeFrame(encodeAgentMessage(message)));
      if (socket.writableLength <= maxUnsentBytes) return;
      log.error('sidecar does not read, cut off', { instance, unsentBytes: socket.writableLength });
      socket.destroy();
    };
    const hear = (message: SidecarMessage): void => {
      if (message.kind === 'hello') {
        requireProtocol(message.protocol, 'the sidecar');
        requireInstance(message.instance, instance);
        greeted = 'greeted';
        hub.attach(instance, message.protocol, send);
      } else if (greeted === 'greeted') hub.hear(instance, message);
    };
    this.#sockets.add(socket);
    socket.on('error', (error) => log.debug('relay connection lost', { instance, reason: error.message }));
    socket.on('close', () => {
      this.#sockets.delete(socket);
      hub.detach(instance, send);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const bytes of reader.push(chunk)) {
          const message = decodeSidecarMessage(bytes);
          if (message.kind !== 'unknown') hear(message);
        }
      } catch (error) {
        log.error('sidecar broke the protocol, cut off', { instance, reason: messageOf(error) });
        socket.destroy();
      }
    });
    send({ kind: 'welcome', protocol: programProtocol, bootstrap: this.#bootstrap });
  }
}

function requireInstance(named: string, expected: string): void {
  if (named === expected) return;
  throw new MeshError('identity_refused', `this socket is for ${expected}, the sidecar says it is ${named}`, {
    origin: 'downstream',
  });
}

/** Only a socket is removed: whatever else lies there is not ours. */
function removeOldSocket(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
}
