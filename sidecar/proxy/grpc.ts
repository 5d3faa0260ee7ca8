// hot: once per gRPC request.
/** What gRPC says in header fields: deadlines and statuses (gRPC over HTTP/2, "Requests" and "Responses"). */
import { Field, fieldKind } from '../codec/field.ts';

/** Digits of a `grpc-timeout` before its unit. */
const maxTimeoutDigits = 8;
const maxTimeoutValue = 99_999_999;
const zero = 0x30;

/** Milliseconds of each unit, by its character code. */
const unitMs: ReadonlyMap<number, number> = new Map(
  [
    ['H', 3_600_000],
    ['M', 60_000],
    ['S', 1000],
    ['m', 1],
    ['u', 0.001],
    ['n', 0.000_001],
  ].map(([unit, ms]) => [String(unit).charCodeAt(0), Number(ms)]),
);

/** Whether a `content-type` is gRPC's own; gRPC-Web is another protocol. */
export function isGrpcType(contentType: string): boolean {
  if (!contentType.startsWith('application/grpc')) return false;
  const next = contentType.charCodeAt('application/grpc'.length);
  return Number.isNaN(next) || next === 0x2b || next === 0x3b || next === 0x20;
}

/** The milliseconds that a `grpc-timeout` allows, or -1 where it is none: then there is no deadline. */
export function grpcTimeoutMs(text: string): number {
  const digits = text.length - 1;
  if (digits < 1 || digits > maxTimeoutDigits) return -1;
  const factor = unitMs.get(text.charCodeAt(digits));
  if (factor === undefined) return -1;
  let value = 0;
  for (let at = 0; at < digits; at++) {
    const digit = text.charCodeAt(at) - zero;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value * factor;
}

/** What is left of a deadline, for the next hop: never more than `leftMs`, except that less than 1 ms is 1 ms. */
export function formatGrpcTimeout(leftMs: number): string {
  const milliseconds = Math.max(1, Math.floor(leftMs));
  if (milliseconds <= maxTimeoutValue) return `${milliseconds}m`;
  return `${Math.min(maxTimeoutValue, Math.floor(milliseconds / 1000))}S`;
}

/** Puts what is left of the deadline in the place of what the caller said. */
export function passOnTimeout(fields: Field[], leftMs: number): void {
  for (let at = 0; at < fields.length; at++) {
    if ((fields[at] as Field).kind !== fieldKind.grpcTimeout) continue;
    fields[at] = new Field('grpc-timeout', formatGrpcTimeout(leftMs));
    return;
  }
}

/** The `grpc-status` among a reply's fields or trailers, or undefined; -1 where it is no number. */
export function grpcStatusIn(fields: readonly Field[]): number | undefined {
  for (let at = 0; at < fields.length; at++) {
    const field = fields[at] as Field;
    if (field.kind === fieldKind.grpcStatus) return smallNumber(field.value);
  }
  return undefined;
}

/** Statuses that say that the server failed, not its caller: what 5xx is to HTTP. */
const serverFaults: readonly number[] = [2, 4, 12, 13, 14, 15];

/** The HTTP status of the same class, for whoever asks for errors only. */
export function httpStatusLike(status: number, grpcStatus: number | undefined): number {
  return grpcStatus !== undefined && serverFaults.includes(grpcStatus) ? 500 : status;
}

/** A small decimal number, or -1. */
export function smallNumber(text: string): number {
  let value = 0;
  if (text.length === 0 || text.length > 5) return -1;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - zero;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
