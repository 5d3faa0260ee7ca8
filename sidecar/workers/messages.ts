/** What a group and its workers say to each other over their channel (structured clones, so Maps travel as they are). */
import type { Bootstrap, IdentityBundle } from '../../mesh/bootstrap.ts';
import type { EndpointSet, Snapshot } from '../../mesh/model.ts';
import type { ResolveAnswer } from '../runtime/resolver.ts';
import type { DrainKind, SidecarReport } from '../sidecar.ts';

export type ToWorker =
  | {
      readonly kind: 'start';
      readonly bootstrap: Bootstrap;
      readonly identity: IdentityBundle | undefined;
      readonly snapshot: Snapshot;
      readonly memoryLimitBytes: number;
      /** Whether names that are not known may be asked for. */
      readonly resolves: boolean;
    }
  | { readonly kind: 'identity'; readonly identity: IdentityBundle }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly kind: 'endpoints'; readonly sets: readonly EndpointSet[] }
  | { readonly kind: 'resolved'; readonly authority: string; readonly answer: ResolveAnswer }
  | { readonly kind: 'report'; readonly id: number }
  | { readonly kind: 'drain'; readonly how: DrainKind };

export type FromWorker =
  | { readonly kind: 'ready'; readonly listening: readonly string[] }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'resolve'; readonly authority: string }
  | { readonly kind: 'report'; readonly id: number; readonly report: SidecarReport };
