/**
 * Who gets a certificate: a node with a join token, a node that has one already, and a workload for the node that
 * it is placed on. Plain functions behind the wire; every refusal goes to the log and, in the same words, to the
 * caller.
 */
import type { Clock } from '../kit/clock.ts';
import { MeshError, messageOf } from '../kit/errors.ts';
import type { Log, LogFields } from '../kit/log.ts';
import { isNodeName } from '../mesh/identity.ts';
import type { IssuedCertificate } from '../proto/certificates-wire.ts';
import type { CertificateAuthority, WorkloadRequest } from './authority.ts';
import {
  type CreateTokenOptions,
  createJoinTokens,
  type NewToken,
  type TokenStorage,
} from './join-tokens.ts';
import { createRateLimiter, type RateLimit, type RateLimiter } from './rate-limiter.ts';
import { readSigningRequest } from './signing-request.ts';

export interface RegistrarOptions {
  readonly authority: CertificateAuthority;
  readonly tokens: TokenStorage;
  /** The account of a workload that the pilot has placed on the node; undefined where it has not. */
  readonly accountOf: (node: string, namespace: string, workload: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Attempts to join that failed, per address. */
  readonly joinLimit?: RateLimit;
  /** Certificates per node. */
  readonly issueLimit?: RateLimit;
}

export interface JoinRequest {
  readonly token: string;
  readonly node: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  /** Where the caller is, for the limit and the log. */
  readonly address: string;
}

export interface WorkloadCertificateRequest {
  readonly namespace: string;
  readonly workload: string;
  readonly csr: Uint8Array;
}

export interface Registrar {
  createToken(options?: CreateTokenOptions): Promise<NewToken>;
  join(request: JoinRequest): Promise<IssuedCertificate>;
  /** `node` is from the caller's verified certificate. */
  renewNode(node: string, csr: Uint8Array): Promise<IssuedCertificate>;
  issueWorkload(node: string, request: WorkloadCertificateRequest): Promise<IssuedCertificate>;
}

export const defaultJoinLimit: RateLimit = { perSecond: 1, burst: 20 };
export const defaultIssueLimit: RateLimit = { perSecond: 50, burst: 500 };

export function createRegistrar(options: RegistrarOptions): Registrar {
  const { authority, accountOf, clock, log } = options;
  const tokens = createJoinTokens(options.tokens, clock);
  const joins = createRateLimiter(options.joinLimit ?? defaultJoinLimit, clock);
  const issues = createRateLimiter(options.issueLimit ?? defaultIssueLimit, clock);

  async function orLog<T>(what: string, fields: LogFields, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (thrown) {
      log.warn(what, { ...fields, reason: messageOf(thrown) });
      throw thrown;
    }
  }

  return {
    async createToken(tokenOptions = {}) {
      const { node } = tokenOptions;
      if (node !== undefined && !isNodeName(node)) throw badNode(node);
      const created = await tokens.create(authority.rootSha256, tokenOptions);
      const expires = new Date(created.expiresMs).toISOString();
      log.info('join token created', { token: created.id, node: node ?? 'any', expires });
      return created;
    },

    join: ({ token, node, csr, address }) =>
      orLog('join refused', { node, address }, async () => {
        takeOrRefuse(joins, address, `too many attempts to join from ${address}`);
        if (!isNodeName(node)) throw badNode(node);
        // A request that cannot be granted must not use the token up.
        readSigningRequest(csr);
        const id = await tokens.consume(token, node);
        joins.giveBack(address);
        const issued = await authority.issueNode({ node, csr, because: `token ${id}` });
        log.info('node joined', { node, address, token: id });
        return issued;
      }),

    renewNode: (node, csr) =>
      orLog('node certificate refused', { node }, async () => {
        takeOrRefuse(issues, node, `node '${node}' asks for too many certificates`);
        return authority.issueNode({ node, csr, because: 'renewal' });
      }),

    issueWorkload: (node, { namespace, workload, csr }) =>
      orLog('workload certificate refused', { node, namespace, workload }, async () => {
        takeOrRefuse(issues, node, `node '${node}' asks for too many certificates`);
        const account = accountOf(node, namespace, workload);
        if (account === undefined) {
          const why = `workload '${namespace}/${workload}' is not placed on node '${node}'`;
          throw new MeshError('denied', `no certificate: ${why}`, { origin: 'downstream' });
        }
        const isPlaced: WorkloadRequest['isPlaced'] = (...at) => accountOf(at[0], at[1], workload) === at[2];
        return authority.issueWorkload({ node, namespace, account, csr, isPlaced });
      }),
  };
}

function takeOrRefuse(limiter: RateLimiter, key: string, why: string): void {
  if (!limiter.take(key))
    throw new MeshError('limit_exceeded', `${why}; wait a little`, { origin: 'downstream' });
}

function badNode(node: string): MeshError {
  const why = `'${node}' is no name of a node (letters, digits, '.', '_' and '-')`;
  return new MeshError('invalid', why, { origin: 'downstream' });
}
