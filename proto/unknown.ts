/**
 * Fields that a message carries and our schema does not know. protobuf-es keeps them in `$unknown`;
 * inside matches, rules and policies they are a refusal, elsewhere they are ignored and counted.
 */
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import type { Problem } from '../kit/parse.ts';

/** Reports every unknown field of `message` and of all messages inside it, by path and number. */
export function reportUnknown(
  schema: DescMessage,
  message: Message,
  path: string,
  report: (problem: Problem) => void,
): void {
  visit(schema, message, path, (at, no) =>
    report({ path: at, message: `unknown field number ${no}: this version does not know it` }),
  );
}

let ignored = 0;

/** How many unknown fields were ignored so far on the wires of this process. */
export function ignoredFields(): number {
  return ignored;
}

/** Counts the unknown fields of `message`, where they are ignored. */
export function ignoreUnknown(schema: DescMessage, message: Message): void {
  visit(schema, message, '', () => {
    ignored += 1;
  });
}

type Found = (path: string, no: number) => void;

function visit(schema: DescMessage, message: Message, path: string, found: Found): void {
  for (const field of message.$unknown ?? []) found(path, field.no);
  for (const field of schema.fields) {
    const inner = innerMessage(field);
    const value = inner === undefined ? undefined : fieldValue(field, message);
    if (inner === undefined || value === undefined) continue;
    for (const [key, member] of members(field, value)) {
      visit(inner, member, `${path}.${field.localName}${key}`, found);
    }
  }
}

function innerMessage(field: DescField): DescMessage | undefined {
  return field.fieldKind === 'enum' || field.fieldKind === 'scalar' ? undefined : field.message;
}

/** Members of a oneof live under its name as `{ case, value }`. */
function fieldValue(field: DescField, message: Message): unknown {
  const record = message as unknown as Record<string, unknown>;
  if (field.oneof === undefined) return record[field.localName];
  const chosen = record[field.oneof.localName] as { case: string | undefined; value?: unknown };
  return chosen.case === field.localName ? chosen.value : undefined;
}

/** The messages in a field's value, each with its place in a path. */
function members(field: DescField, value: unknown): [string, Message][] {
  if (field.fieldKind === 'list') {
    return (value as Message[]).map((member, index) => [`[${index}]`, member]);
  }
  if (field.fieldKind === 'map') {
    return Object.entries(value as Record<string, Message>).map(([key, member]) => [`[${key}]`, member]);
  }
  return [['', value as Message]];
}
