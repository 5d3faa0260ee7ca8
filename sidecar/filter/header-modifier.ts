/** Sets, adds and removes header fields of requests or responses. */
import { applyHeaderChange, compileHeaderChange } from '../../mesh/decide/headers.ts';
import type { HeaderChange } from '../../mesh/model.ts';
import { Field } from '../codec/field.ts';
import type { FilterKind } from './filter.ts';

export const requestHeaders: FilterKind<'request_headers'> = {
  name: 'request_headers',
  configure(settings) {
    const change = compile(settings);
    return {
      onRequest(head) {
        applyHeaderChange(head.fields, change);
        return undefined;
      },
    };
  },
};

export const responseHeaders: FilterKind<'response_headers'> = {
  name: 'response_headers',
  configure(settings) {
    const change = compile(settings);
    return { onResponse: (head) => applyHeaderChange(head.fields, change) };
  },
};

function compile(change: HeaderChange) {
  return compileHeaderChange(change, (name, value) => new Field(name, value));
}
