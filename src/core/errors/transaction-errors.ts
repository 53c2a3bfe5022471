import { showStepKey } from '../step-key-format.js';
import { WorkflowError } from './workflow-error.js';

/**
 * Thrown by `currentManager()` outside the body of a transactional step. Also thrown by a statement
 * that the body sends after its end, because nobody awaited the statement.
 *
 * @example
 * @Step({ transactional: true })
 * async debit(account: string, cents: number): Promise<void> {
 *   await currentManager().decrement(Account, { id: account }, 'cents', cents);
 * }
 */
export class NotInTransactionError extends WorkflowError {
  static override readonly errorName: string = 'NotInTransactionError';
  readonly code = 'NOT_IN_TRANSACTION';
}

/**
 * The body of a transactional step wrote in a read-only transaction, or its result could not be
 * recorded in one. The DataSource is connected to a standby, or `default_transaction_read_only` is
 * on. `cause` is the driver's error. The failure counts as an attempt of the step, because a
 * failover may end this state.
 *
 * @example
 * if (StepFailedError.is(error, ReadOnlyTransactionError)) logger.error(error.message);
 */
export class ReadOnlyTransactionError extends WorkflowError {
  static override readonly errorName: string = 'ReadOnlyTransactionError';
  readonly code = 'READ_ONLY_TRANSACTION';

  constructor(
    /** Key of the step. */
    readonly stepKey: string,
    options?: { cause?: unknown },
  ) {
    super(
      `Step "${showStepKey(stepKey)}" is transactional, and its transaction is read-only: the DataSource must lead to the primary, ` +
        'with a role for which default_transaction_read_only is off',
      options,
    );
  }
}

/** Reason why a process cannot execute transactional steps. */
export type TransactionalStepsProblem = 'no-data-source' | 'other-database' | 'read-only' | 'no-rights' | 'no-manager';

const REMEDIES: Readonly<Record<TransactionalStepsProblem, string>> = {
  'no-data-source':
    "the application has no TypeORM DataSource for PostgreSQL that the module knows: import TypeOrmModule, or name the DataSource with the module's option dataSource",
  'other-database':
    'the DataSource of the application and the module are connected to different databases. Leave the option connection out, so that the module uses the database of the DataSource',
  'read-only':
    'transactions of the DataSource are read-only: connect it to the primary, with a role for which default_transaction_read_only is off',
  'no-rights':
    "the role of the DataSource lacks rights on the module's tables: grant it USAGE on the schema, SELECT on workflow_sessions, SELECT and UPDATE on workflow_runs, " +
    'SELECT and INSERT on workflow_steps, and SELECT and DELETE on workflow_waits',
  'no-manager':
    'runInTransaction did not call its function in a transaction that currentTransaction returns: set both options for the same library',
};

/**
 * This process cannot execute transactional steps. The boot fails with this error when a registered
 * step is transactional. `problem` names the reason, and the message says what to do.
 *
 * @example
 * await app.init().catch((error) => {
 *   if (error instanceof TransactionalStepsError) logger.fatal(error.message);
 *   throw error;
 * });
 */
export class TransactionalStepsError extends WorkflowError {
  static override readonly errorName: string = 'TransactionalStepsError';
  readonly code = 'TRANSACTIONAL_STEPS';

  constructor(
    readonly problem: TransactionalStepsProblem,
    options?: { cause?: unknown },
  ) {
    super(`Transactional steps cannot be executed: ${REMEDIES[problem]}`, options);
  }
}
