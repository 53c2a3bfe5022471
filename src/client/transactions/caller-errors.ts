import { InvalidInputError, TransactionConflictError } from '../../core/errors/index.js';
import { TransactionEndedError } from './caller-transaction.js';

/** Of these the caller may expect that the same transaction succeeds the next time. */
const CONFLICTS: Readonly<Record<string, string>> = {
  '40001': 'a run of the same id was created elsewhere after this transaction, which is not READ COMMITTED, had taken its snapshot',
  '40P01': 'this transaction and another each waited for a run that the other one had started',
  '55P03': 'another transaction that has not ended has started a run of the same id, and lock_timeout was over first',
};

/** What is to be told of an error of a statement in the caller's transaction: it has aborted that transaction, whatever it is called. */
export function callerError(error: unknown, runIds: readonly string[], argument: string): unknown {
  if (error instanceof TransactionEndedError) return endedUnder(argument);
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (typeof code !== 'string') return error;
  if (code === '25006') return new InvalidInputError(argument, 'has a read-only transaction', { cause: error });
  if (code === '42501') {
    return new InvalidInputError(argument, `belongs to a role without rights on the tables of the workflows (${messageOf(error)})`, {
      cause: error,
    });
  }
  if (code === '25P02') {
    return new InvalidInputError(argument, 'has a transaction in which a statement has failed: it can only be rolled back', {
      cause: error,
    });
  }
  const why = CONFLICTS[code];
  return why === undefined ? error : new TransactionConflictError(runIds, code, why, { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : typeof error;
}

/** Whoever does not await a call ends the transaction under it. */
export function endedUnder(argument: string): InvalidInputError {
  return new InvalidInputError(argument, 'has a transaction that ended under the call: await the call in it');
}
