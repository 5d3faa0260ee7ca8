/** The limits that every store keeps, checked before anything is sent or written. */
import { MeshError } from '../../kit/errors.ts';
import {
  maxTransactionBytes,
  maxTransactionOperations,
  maxValueBytes,
  type Operation,
  type Transaction,
} from './store.ts';

/** Throws `limit_exceeded` or `invalid` where no store would take `transaction`. */
export function checkTransaction(transaction: Transaction): void {
  const { compares = [], operations } = transaction;
  if (compares.length > maxTransactionOperations || operations.length > maxTransactionOperations) {
    throw refused('limit_exceeded', `a transaction holds at most ${maxTransactionOperations} operations`);
  }
  if (operations.length === 0) throw refused('invalid', 'a transaction without operations');
  let bytes = 0;
  const seen = new Set<string>();
  for (const operation of operations) bytes += checkOperation(operation, seen);
  for (const operation of operations) {
    if (operation.kind === 'delete_prefix') checkAlone(operation.prefix, operations, operation);
  }
  if (bytes > maxTransactionBytes) {
    throw refused(
      'limit_exceeded',
      `a transaction of ${bytes} bytes, at most ${maxTransactionBytes} are taken`,
    );
  }
}

function checkOperation(operation: Operation, seen: Set<string>): number {
  if (operation.kind === 'delete_prefix') {
    if (operation.prefix === '') throw refused('invalid', 'a prefix to delete must not be empty');
    return operation.prefix.length;
  }
  if (operation.key === '') throw refused('invalid', 'an empty key');
  if (seen.has(operation.key)) throw refused('invalid', `key '${operation.key}' twice in one transaction`);
  seen.add(operation.key);
  if (operation.kind === 'delete') return operation.key.length;
  if (operation.value.length > maxValueBytes) {
    const size = `${operation.value.length} bytes`;
    throw refused(
      'limit_exceeded',
      `value of '${operation.key}' has ${size}, at most ${maxValueBytes} are taken`,
    );
  }
  return operation.key.length + operation.value.length;
}

function checkAlone(prefix: string, operations: readonly Operation[], own: Operation): void {
  for (const other of operations) {
    const key = other.kind === 'delete_prefix' ? other.prefix : other.key;
    if (other !== own && key.startsWith(prefix)) {
      throw refused('invalid', `'${key}' lies within the deleted prefix '${prefix}'`);
    }
  }
}

function refused(code: 'limit_exceeded' | 'invalid', message: string): MeshError {
  return new MeshError(code, message, { origin: 'local' });
}
