/** Answers with a redirect; the request goes nowhere. */
import { redirectLocation } from '../../mesh/decide/rewrite.ts';
import { Field } from '../codec/field.ts';
import type { FilterKind } from './filter.ts';

export const redirect: FilterKind<'redirect'> = {
  name: 'redirect',
  configure(settings, match) {
    return {
      onRequest: (head) => ({
        status: settings.status,
        fields: [new Field('location', redirectLocation(head, settings, match))],
        contentLength: 0,
      }),
    };
  },
};
