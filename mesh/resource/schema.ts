/**
 * The few schema forms that all kinds are built of. A field with a default is required in the type and may be left
 * out in the source: defaults are filled in before anything is checked, so inside the border types are complete.
 */
import { type Static, type TProperties, type TSchema, Type } from 'typebox';
import type { FormatName } from './format.ts';

/** The most items that any list of a resource holds, unless it says otherwise. */
const maxItems = 1024;

/** An object that refuses fields it does not name. */
export function closed<P extends TProperties>(properties: P, init: { default?: unknown } = {}) {
  return Type.Object(properties, { additionalProperties: false, ...init });
}

export function text(format: FormatName, init: { default?: string } = {}) {
  return Type.String({ format, ...init });
}

/** Free text, such as an argument of a program. */
export function anyText(init: { default?: string } = {}) {
  return Type.String({ maxLength: 65_536, ...init });
}

export function oneOf<const V extends string>(values: readonly V[], init: { default?: V } = {}) {
  return Type.Unsafe<V>({ type: 'string', enum: values, ...init });
}

export function integer(minimum: number, maximum: number, init: { default?: number } = {}) {
  return Type.Integer({ minimum, maximum, ...init });
}

export function port() {
  return integer(1, 65_535);
}

/** A list; `[]` where it is left out, unless another default or `undefined` (then it is required) is given. */
export function list<T extends TSchema>(
  items: T,
  init: { default?: unknown; minItems?: number; maxItems?: number } = {},
) {
  const { default: standard = [], ...rest } = init;
  const bare = { maxItems, ...rest };
  return Type.Array(
    items,
    (rest.minItems ?? 0) > 0 && !('default' in init) ? bare : { ...bare, default: standard },
  );
}

/** A table of texts; empty where it is left out. */
export function table(keys: FormatName, values?: FormatName) {
  return Type.Unsafe<Record<string, string>>({ ...tableSchema(keys, values), default: {} });
}

/** A table of whole numbers; empty where it is left out. */
export function numberTable() {
  return Type.Unsafe<Record<string, number>>({
    type: 'object',
    maxProperties: maxItems,
    additionalProperties: { type: 'integer' },
    default: {},
  });
}

/** The same as `table`, absent where it is left out: no table is not an empty one. */
export function optionalTable(keys: FormatName, values?: FormatName) {
  return Type.Optional(Type.Unsafe<Record<string, string>>(tableSchema(keys, values)));
}

function tableSchema(keys: FormatName, values: FormatName | undefined) {
  return {
    type: 'object',
    maxProperties: maxItems,
    propertyNames: { type: 'string', format: keys },
    additionalProperties:
      values === undefined ? { type: 'string', maxLength: 262_144 } : { type: 'string', format: values },
  };
}

/** Which workloads of its namespace a policy binds; all of them where it is left out. */
export const selector = Type.Optional(closed({ matchLabels: table('label-key', 'label-value') }));

export type Selector = Static<typeof selector>;
