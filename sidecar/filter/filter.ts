/**
 * One step that a routed request passes. Filters see heads, never bodies: a body is forwarded as it flows.
 * Hooks run in configured order on the way in and in reverse order on the way out.
 */
import type { PathMatch, RouteFilter } from '../../mesh/model.ts';
import type { RequestHead, ResponseHead } from '../codec/codec.ts';

export interface Filter {
  /** Changes the head in place; a head in return answers in place of an upstream. */
  onRequest?(head: RequestHead): ResponseHead | undefined;
  onResponse?(head: ResponseHead): void;
}

/** The settings in the model that belong to a filter. */
export type SettingsOf<Kind extends RouteFilter['kind']> = Extract<RouteFilter, { kind: Kind }>;

export interface FilterKind<Kind extends RouteFilter['kind'] = RouteFilter['kind']> {
  /** The `kind` in the model. */
  readonly name: Kind;
  /** Called once, when a snapshot is compiled; `match` is the rule's path condition. */
  configure(settings: SettingsOf<Kind>, match: PathMatch | undefined): Filter;
}
