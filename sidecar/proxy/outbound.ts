// hot: `plan` runs once per request.
/**
 * Where the application's own requests go: by the host it names, or by the localhost port that stands for one
 * service port. A host that is not known yet is looked up once, all who ask for it wait together.
 */
import { MeshError } from '../../kit/errors.ts';
import { namesNear, parseServiceName } from '../../mesh/decide/hosts.ts';
import { type ServiceRef, serviceKey } from '../../mesh/model.ts';
import { Field } from '../codec/field.ts';
import type { Filter } from '../filter/filter.ts';
import type { SeriesSet } from '../observe/series.ts';
import type { Resolver } from '../runtime/resolver.ts';
import { type Forwarding, findPort, type PortRuntime } from '../runtime/runtime.ts';
import type { Exchange } from './exchange.ts';
import type { Planner } from './serve.ts';

export interface OutboundOptions {
  /** What a localhost port stands for; undefined where the host decides. */
  readonly call: { readonly service: ServiceRef; readonly port: number } | undefined;
  /** Asks the pilot for names that are not known; undefined where there is none to ask. */
  readonly resolver: Resolver | undefined;
  readonly unrouted: SeriesSet;
  /** Where requests go whose host is not known; left out, they are refused. */
  readonly otherwise?: (() => Forwarding) | undefined;
}

export class OutboundPlanner implements Planner {
  readonly direction = 'outbound';
  readonly unrouted: SeriesSet;
  readonly #call: { readonly key: string; readonly port: number } | undefined;
  readonly #resolver: Resolver | undefined;
  readonly #otherwise: (() => Forwarding) | undefined;

  constructor(options: OutboundOptions) {
    this.unrouted = options.unrouted;
    this.#resolver = options.resolver;
    this.#otherwise = options.otherwise;
    const { call } = options;
    this.#call = call === undefined ? undefined : { key: serviceKey(call.service), port: call.port };
  }

  plan(exchange: Exchange): void {
    const port = this.#findPort(exchange);
    if (port !== undefined) route(exchange, port);
    else if (this.#resolver === undefined || this.#call !== undefined || this.#isForeign(exchange)) {
      this.#takeUnknown(exchange, []);
    } else this.#resolve(exchange, this.#resolver);
  }

  #findPort(exchange: Exchange): PortRuntime | undefined {
    const { runtime } = exchange;
    const call = this.#call;
    if (call === undefined) return findPort(runtime, exchange.head.authority);
    return runtime.services.get(call.key)?.ports.get(call.port);
  }

  #resolve(exchange: Exchange, resolver: Resolver): void {
    resolver.resolve(exchange.head.authority, (answer) => {
      exchange.runtime = exchange.context.proxy.runtime;
      const port = this.#findPort(exchange);
      if (port !== undefined) route(exchange, port);
      else if (answer.kind === 'absent') this.#takeUnknown(exchange, answer.near);
      else if (this.#otherwise !== undefined) this.#takeUnknown(exchange, []);
      else {
        const message = `no answer from the pilot about '${exchange.head.authority}'`;
        exchange.refuse(new MeshError('no_cluster', message, { origin: 'local' }));
      }
    });
  }

  /** What goes elsewhere is not kept waiting for the pilot's word on a name that no service can have. */
  #isForeign({ head, runtime }: Exchange): boolean {
    if (this.#otherwise === undefined) return false;
    return parseServiceName(head.authority, runtime.snapshot.self.namespace) === undefined;
  }

  #takeUnknown(exchange: Exchange, near: readonly string[]): void {
    if (this.#otherwise !== undefined) exchange.forward(this.#otherwise());
    else refuseUnknown(exchange, near);
  }
}

/** On links only, like all fields of ours. */
const speaksHttp2 = new Field('heddle-version', '2');

function route(exchange: Exchange, port: PortRuntime): void {
  const rule = port.routes.match(exchange);
  if (rule === undefined) {
    const { method, path } = exchange.head;
    const message = `no route of ${serviceKey(port.service)}:${port.port} matches ${method} ${path}`;
    exchange.refuse(new MeshError('no_route', message, { origin: 'local' }));
    return;
  }
  // Only we can see which version the application speaks; the receiver asks its own in the same.
  if (port.protocol === 'detect' && exchange.context.protocol === 'http2')
    exchange.head.fields.push(speaksHttp2);
  exchange.series = rule.series;
  exchange.route = rule.route;
  if (runFilters(exchange, rule.configured)) return;
  const backend = rule.split.pick(exchange.context.proxy.random());
  if (backend?.forwarding === undefined) {
    const problem = backend === undefined ? 'no backend has a weight' : backend.problem;
    const message = `${serviceKey(port.service)}:${port.port} by ${rule.route}: ${problem}`;
    exchange.refuse(new MeshError('no_backend', message, { origin: 'local' }));
    return;
  }
  if (backend.ownFilters.length > 0 && runFilters(exchange, backend.ownFilters)) return;
  exchange.forward(backend.forwarding);
}

/** Whether a filter has answered. */
function runFilters(exchange: Exchange, filters: readonly Filter[]): boolean {
  for (let at = 0; at < filters.length; at++) {
    const reply = (filters[at] as Filter).onRequest?.(exchange.head);
    if (reply !== undefined) {
      exchange.answerHead(reply);
      return true;
    }
  }
  return false;
}

function refuseUnknown(exchange: Exchange, near: readonly string[]): void {
  const { authority } = exchange.head;
  const { snapshot } = exchange.runtime;
  const known = [...snapshot.services.values()].map(({ service }) => service);
  const names = near.length > 0 ? near : namesNear(authority, known, snapshot.self.namespace);
  const hint = names.length > 0 ? `; did you mean ${names.join(' or ')}?` : '';
  const message = `no service '${authority}' is known here${hint}`;
  exchange.refuse(new MeshError('no_route', message, { origin: 'local' }));
}
