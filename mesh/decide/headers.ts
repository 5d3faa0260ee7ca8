// hot: applied to the fields of requests and responses whose route changes them.
/** Header changes of a route (Gateway API `HTTPHeaderFilter`), on any list of named values. */
import type { HeaderChange } from '../model.ts';

export interface NamedValue {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
}

/** A change whose fields are made once, for all requests. */
export interface CompiledHeaderChange<F extends NamedValue> {
  readonly set: readonly F[];
  readonly add: readonly F[];
  readonly remove: readonly string[];
}

/** `make` builds a field of the caller's own type. */
export function compileHeaderChange<F extends NamedValue>(
  change: HeaderChange,
  make: (name: string, value: string) => F,
): CompiledHeaderChange<F> {
  const fields = (values: HeaderChange['set']) => values.map(({ name, value }) => make(name, value));
  return { set: fields(change.set), add: fields(change.add), remove: change.remove };
}

/** Changes `fields` in place: `set` replaces every field of that name, `add` appends one, `remove` drops all. */
export function applyHeaderChange<F extends NamedValue>(fields: F[], change: CompiledHeaderChange<F>): void {
  for (let n = 0; n < change.set.length; n++) setField(fields, change.set[n] as F);
  for (let n = 0; n < change.add.length; n++) fields.push(change.add[n] as F);
  for (let n = 0; n < change.remove.length; n++) dropFrom(fields, change.remove[n] as string, 0);
}

function setField<F extends NamedValue>(fields: F[], field: F): void {
  for (let at = 0; at < fields.length; at++) {
    if ((fields[at] as F).name === field.name) {
      fields[at] = field;
      dropFrom(fields, field.name, at + 1);
      return;
    }
  }
  fields.push(field);
}

/** Drops the fields of that name at index `from` and after it. */
function dropFrom<F extends NamedValue>(fields: F[], name: string, from: number): void {
  let kept = from;
  for (let at = from; at < fields.length; at++) {
    const field = fields[at] as F;
    if (field.name !== name) fields[kept++] = field;
  }
  fields.length = kept;
}
