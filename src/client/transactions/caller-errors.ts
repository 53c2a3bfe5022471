import { InvalidInputError, TransactionConflictError } from '../../core/errors/index.js';
import { TransactionEndedError } from './caller-transaction.js';

/** SQLSTATE codes of errors after which a repetition of the same transaction may succeed. */
const CONFLICTS: Readonly<Record<string, string>> = {
  '40001': 'a run of the same id was created elsewhere after this transaction, which is not READ COMMITTED, had taken its snapshot',
  '40P01': 'this transaction and another were in a deadlock: each waited for a run that the other had started',
  '55P03': 'another transaction that is still open has started a run of the same id, and lock_timeout expired while waiting for it',
};

/**
 * Translates the error of a statement in the caller's transaction. PostgreSQL aborts a transaction
 * in which a statement fails, so the caller must roll it back.
 */
export function callerError(error: unknown, runIds: readonly string[], argument: string): unknown {
  if (error instanceof TransactionEndedError) return endedDuringCall(argument);
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (typeof code !== 'string') return error;
  if (code === '25006') return new InvalidInputError(argument, 'has a read-only transaction', { cause: error });
  if (code === '42501') {
    return new InvalidInputError(argument, `belongs to a role without rights on the tables of the workflows (${messageOf(error)})`, {
      cause: error,
    });
  }
  if (code === '25P02') {
    return new InvalidInputError(argument, 'has a transaction in which a statement has failed: it must be rolled back', {
      cause: error,
    });
  }
  const why = CONFLICTS[code];
  return why === undefined ? error : new TransactionConflictError(runIds, code, why, { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : typeof error;
}

/**
 * Creates the error for a transaction that ended during a client call, because the caller did not
 * await the call.
 */
export function endedDuringCall(argument: string): InvalidInputError {
  return new InvalidInputError(argument, 'has a transaction that ended during the call: await the call inside the transaction');
}
