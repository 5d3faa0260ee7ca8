/** Changes the host and path under which a request goes on. */
import { changedPath } from '../../mesh/decide/rewrite.ts';
import type { FilterKind } from './filter.ts';

export const rewrite: FilterKind<'rewrite'> = {
  name: 'rewrite',
  configure({ hostname, path }, match) {
    return {
      onRequest(head) {
        if (hostname !== undefined) head.authority = hostname;
        if (path !== undefined) head.path = changedPath(head.path, path, match);
        return undefined;
      },
    };
  },
};
