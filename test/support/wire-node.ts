/** A node over real gRPC: joins with a token, then drives a ScriptedAgent and a Node stream by its certificate. */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { KeyPair } from '../../certs/client/key-pair.ts';
import { createKeyPair } from '../../certs/client/key-pair.ts';
import { systemClock } from '../../kit/clock.ts';
import { silentLog } from '../../kit/log.ts';
import type { InstanceReport } from '../../mesh/placement.ts';
import { callOnce, fromGrpc, openChannel } from '../../node-agent/pilot/channel.ts';
import { joinMesh } from '../../node-agent/pilot/join.ts';
import type { CertificateResponse, IssuedCertificate } from '../../proto/certificates-wire.ts';
import type { ConfigRequest, ConfigResponse } from '../../proto/config-wire.ts';
import type { NodeMessage, NodeOrder, NodeReport } from '../../proto/node-wire.ts';
import { programProtocol } from '../../proto/protocol.ts';
import * as rpc from '../../proto/rpc.ts';
import { defer, type Scope } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { ScriptedAgent } from './scripted-agent.ts';

const deadlineMs = 20_000;

export interface WireStream {
  /** Why it ended; undefined while it lasts. */
  readonly ended: Error | undefined;
  close(): void;
}

export class WireNode {
  readonly name: string;
  readonly agent: ScriptedAgent;
  readonly pilot: string;
  readonly trustDomain: string;
  certificate: IssuedCertificate;
  pair: KeyPair;
  #client;
  readonly #scope: Scope;
  #sequence = 0;

  constructor(scope: Scope, name: string, joined: Awaited<ReturnType<typeof joinMesh>>) {
    this.#scope = scope;
    this.name = name;
    this.agent = new ScriptedAgent(name);
    this.pilot = joined.pilots[0] ?? '';
    this.trustDomain = joined.trustDomain;
    this.certificate = joined.certificate;
    this.pair = joined.pair;
    this.#client = this.#open();
    defer(scope, () => this.#client.close());
  }

  static async join(scope: Scope, name: string, token: string, joinPort: number): Promise<WireNode> {
    const pilots = [{ host: '127.0.0.1', port: joinPort }];
    const log = silentLog;
    return new WireNode(
      scope,
      name,
      await joinMesh({ node: name, token, pilots, patienceMs: 0, clock: systemClock, log }),
    );
  }

  /** Shows another certificate from now on. */
  show(pair: KeyPair, certificate: IssuedCertificate): void {
    this.pair = pair;
    this.certificate = certificate;
    this.#client.close();
    this.#client = this.#open();
  }

  async renew(): Promise<void> {
    const pair = createKeyPair();
    const request = { protocol: programProtocol, csr: pair.signingRequest };
    const { certificate } = await this.#call(rpc.renewNode, request);
    this.show(pair, certificate);
  }

  async issue(
    namespace: string,
    workload: string,
  ): Promise<CertificateResponse & { readonly pair: KeyPair }> {
    const pair = createKeyPair();
    const request = { protocol: programProtocol, namespace, workload, csr: pair.signingRequest };
    return { ...(await this.#call(rpc.issueWorkload, request)), pair };
  }

  /** Begins a Config stream for the agent. */
  configure(): WireStream {
    const { path, requestSerialize, responseDeserialize } = rpc.configStream;
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    call.on('data', (response: ConfigResponse) => this.agent.receive(response));
    const stream = this.#follow(call);
    this.agent.connect((request: ConfigRequest) => void call.write(request));
    return stream;
  }

  /** Begins a Node stream and tells the host's facts and instances; resolves once they are stored. */
  async report(instances: readonly InstanceReport[], name = this.name): Promise<ReportStream> {
    const { path, requestSerialize, responseDeserialize } = rpc.nodeReport;
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    let stored = 0;
    call.on('data', (order: NodeOrder) => {
      if (order.kind === 'ack') stored = order.sequence;
    });
    const stream = this.#follow(call);
    const say = async (message: NodeMessage): Promise<void> => {
      this.#sequence += 1;
      const report: NodeReport = { sequence: this.#sequence, message };
      call.write(report);
      await eventually(() => stored >= report.sequence || stream.ended !== undefined, {
        what: `confirmation of ${message.kind}`,
      });
      if (stream.ended !== undefined) throw stream.ended;
    };
    await say({ kind: 'hello', protocol: programProtocol, node: name, bootId: `boot of ${this.name}` });
    const locality = { region: '', zone: '' };
    await say({
      kind: 'facts',
      facts: { labels: { disk: 'fast' }, addresses: ['127.0.0.1'], network: 'lan', locality },
    });
    await say({ kind: 'instances', instances });
    return { stream, say };
  }

  #open() {
    const { privateKey } = this.pair;
    const { certificateChain, trustBundle } = this.certificate;
    const own = { privateKey, certificateChain };
    const trust = { roots: trustBundle, trustDomain: this.trustDomain, own };
    return openChannel(this.pilot, trust, systemClock);
  }

  #call<Request, Response>(method: rpc.Method<Request, Response>, request: Request): Promise<Response> {
    return callOnce(this.#client, method, request, { deadlineMs: Date.now() + deadlineMs });
  }

  #follow<Sent, Heard>(call: ClientDuplexStream<Sent, Heard>): WireStream {
    const stream = { ended: undefined as Error | undefined, close: () => call.cancel() };
    call.on('error', (error) => {
      stream.ended ??= fromGrpc(error);
    });
    call.on('end', () => {
      stream.ended ??= new Error('the pilot ended the stream');
    });
    defer(this.#scope, () => call.cancel());
    return stream;
  }
}

export interface ReportStream {
  readonly stream: WireStream;
  /** Resolves once it is stored. */
  say(message: NodeMessage): Promise<void>;
}

/** A running instance as its agent reports it. */
export function instanceReport(id: string, change: Partial<InstanceReport> = {}): InstanceReport {
  const [, namespace = '', workload = '', index = ''] = /^(.+)\/(.+)\.(\d+)@.+$/.exec(id) ?? [];
  return {
    id,
    namespace,
    workload,
    index: Number(index),
    state: 'ready',
    reason: '',
    addresses: ['127.0.0.1'],
    linkPort: 15_000 + Number(index),
    ports: [],
    features: [],
    restarts: 0,
    ...change,
  };
}
