/**
 * A pilot as agents see it: a real authority behind real gRPC ports, and streams on which a test speaks by hand.
 */
import type { Server, ServerDuplexStream, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { type CertificateAuthority, openAuthority } from '../../../certs/authority.ts';
import { createKeyPair } from '../../../certs/client/key-pair.ts';
import { createRegistrar, type Registrar } from '../../../certs/registrar.ts';
import { systemClock } from '../../../kit/clock.ts';
import { silentLog } from '../../../kit/log.ts';
import type { InstanceReport, PlacedWorkload } from '../../../mesh/placement.ts';
import { PilotCredentials } from '../../../pilot/distribute/credentials.ts';
import { type GrpcPort, openGrpcPort } from '../../../pilot/distribute/grpc-port.ts';
import { serviceErrorOf } from '../../../pilot/distribute/grpc-status.ts';
import { peerNodeOf } from '../../../pilot/distribute/peer-node.ts';
import { addJoinService } from '../../../pilot/distribute/services.ts';
import type { ConfigRequest, ConfigResponse } from '../../../proto/config-wire.ts';
import type { NodeMessage, NodeOrder, NodeReport } from '../../../proto/node-wire.ts';
import { programProtocol } from '../../../proto/protocol.ts';
import * as rpc from '../../../proto/rpc.ts';
import { defer } from '../cleanup.ts';
import { MemoryRecordStorage } from '../memory-record-storage.ts';
import { testSecret } from '../test-authority.ts';

const trustDomain = 'mesh.test';
const host = '127.0.0.1';

type Scope = Parameters<typeof defer>[0];
type ConfigCall = ServerDuplexStream<ConfigRequest, ConfigResponse>;
type ReportCall = ServerDuplexStream<NodeReport, NodeOrder>;

interface Credentials {
  readonly mutual: PilotCredentials;
  readonly join: PilotCredentials;
}

export interface FakePilotOptions {
  readonly leafMs?: number;
}

export class FakePilot {
  /** What agents said on their Config and Node streams, over all of them. */
  readonly requests: ConfigRequest[] = [];
  readonly reports: NodeMessage[] = [];
  readonly sequences: number[] = [];
  joinPort = 0;
  readonly #authority: CertificateAuthority;
  readonly #registrar: Registrar;
  readonly #credentials: Credentials;
  #workloads: readonly PlacedWorkload[] = [];
  #version = 0;
  #configs: ConfigCall[] = [];
  #orders: ReportCall[] = [];
  #ports: GrpcPort[] = [];
  #mutualPort = 0;

  private constructor(authority: CertificateAuthority, credentials: Credentials) {
    this.#authority = authority;
    this.#credentials = credentials;
    this.#registrar = createRegistrar({
      authority,
      tokens: new MemoryRecordStorage(),
      accountOf: (_node, namespace, workload) =>
        this.#workloads.find((one) => one.namespace === namespace && one.workload === workload)?.account,
      clock: systemClock,
      log: silentLog,
    });
  }

  static async start(t: Scope, options: FakePilotOptions = {}): Promise<FakePilot> {
    const authority = await openAuthority({
      trustDomain,
      storage: new MemoryRecordStorage().forCa(),
      secret: testSecret,
      clock: systemClock,
      log: silentLog,
      ...(options.leafMs === undefined ? {} : { lifetimes: { leafMs: options.leafMs } }),
      allowShortLifetimes: true,
    });
    defer(t, () => authority.close());
    const issue = async () => {
      const pair = createKeyPair();
      const { certificateChain, trustBundle } = await authority.issuePilot(pair.signingRequest);
      return { privateKey: pair.privateKey, certificateChain, trustBundle };
    };
    const identity = await issue();
    const credentials: Credentials = {
      mutual: new PilotCredentials(identity, 'required'),
      join: new PilotCredentials(identity, 'none'),
    };
    if (options.leafMs !== undefined) {
      const renewal = systemClock.every(options.leafMs / 3, () => {
        void issue().then((next) => {
          credentials.mutual.update(next);
          credentials.join.update(next);
        });
      });
      defer(t, () => renewal.cancel());
    }
    const pilot = new FakePilot(authority, credentials);
    await pilot.open();
    defer(t, () => pilot.close());
    return pilot;
  }

  get address(): string {
    return `${host}:${this.joinPort}`;
  }

  async token(): Promise<string> {
    return (await this.#registrar.createToken()).token;
  }

  /** Listens again, on the ports it had. */
  async open(): Promise<void> {
    const { mutual, join } = this.#credentials;
    const serving = await openGrpcPort({ host, port: this.#mutualPort }, mutual, silentLog, (server) =>
      this.#serve(server),
    );
    this.#mutualPort = serving.port;
    const joining = await openGrpcPort({ host, port: this.joinPort }, join, silentLog, (server) =>
      addJoinService(server, {
        trustDomain,
        registrar: this.#registrar,
        pilotAddress: () => `:${serving.port}`,
        log: silentLog,
      }),
    );
    this.joinPort = joining.port;
    this.#ports = [serving, joining];
  }

  /** Gone without a word, as a killed process. */
  close(): void {
    for (const port of this.#ports.splice(0)) port.close();
    this.#configs = [];
    this.#orders = [];
  }

  place(...workloads: PlacedWorkload[]): void {
    this.#workloads = workloads;
    this.#version += 1;
    for (const call of this.#configs) this.#sendPlacement(call);
  }

  send(response: ConfigResponse): void {
    for (const call of this.#configs) call.write(response);
  }

  order(order: NodeOrder): void {
    for (const call of this.#orders) call.write(order);
  }

  /** The last that was said of an instance. */
  instance(id: string): InstanceReport | undefined {
    const said = this.reports.flatMap((report) => {
      if (report.kind === 'instance') return report.instance;
      return report.kind === 'instances' ? report.instances : [];
    });
    return said.findLast((report) => report.id === id);
  }

  #sendPlacement(call: ConfigCall): void {
    const placement = { version: this.#version, trustDomain, workloads: this.#workloads };
    call.write({ kind: 'placement', placement });
  }

  #serve(server: Server): void {
    server.register(
      rpc.configStream.path,
      (call: ConfigCall) => {
        call.on('error', () => {});
        call.on('data', (request: ConfigRequest) => {
          this.requests.push(request);
          if (request.kind !== 'hello') return;
          call.write({ kind: 'hello', protocol: programProtocol, pilot: 'fake' });
          this.#configs.push(call);
          if (this.#version > 0) this.#sendPlacement(call);
        });
        const forget = () => {
          this.#configs = this.#configs.filter((one) => one !== call);
        };
        call.on('end', () => call.end()).on('cancelled', forget);
      },
      rpc.configStream.responseSerialize,
      rpc.configStream.requestDeserialize as (bytes: Buffer) => ConfigRequest,
      'bidi',
    );
    server.register(
      rpc.nodeReport.path,
      (call: ReportCall) => {
        call.on('error', () => {});
        call.on('data', ({ sequence, message }: NodeReport) => {
          this.reports.push(message);
          this.sequences.push(sequence);
        });
        call.on('end', () => call.end());
        this.#orders.push(call);
        call.write({ kind: 'hello', protocol: programProtocol, heartbeatMs: 200 });
      },
      rpc.nodeReport.responseSerialize,
      rpc.nodeReport.requestDeserialize as (bytes: Buffer) => NodeReport,
      'bidi',
    );
    this.#addUnary(server, rpc.renewNode, (node, { csr }) => this.#registrar.renewNode(node, csr));
    this.#addUnary(server, rpc.issueWorkload, (node, request) =>
      this.#registrar.issueWorkload(node, request),
    );
  }

  #addUnary<Request, Certificate>(
    server: Server,
    method: rpc.Method<
      Request,
      { readonly protocol: typeof programProtocol; readonly certificate: Certificate }
    >,
    issue: (node: string, request: Request) => Promise<Certificate>,
  ): void {
    type Response = { readonly protocol: typeof programProtocol; readonly certificate: Certificate };
    server.register(
      method.path,
      (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => {
        const { node } = peerNodeOf(call, this.#authority.trustDomain, Date.now());
        issue(node, call.request).then(
          (certificate) => callback(null, { protocol: programProtocol, certificate }),
          (error: unknown) => callback(serviceErrorOf(error)),
        );
      },
      method.responseSerialize,
      method.requestDeserialize,
      'unary',
    );
  }
}
