import { WorkflowError } from './workflow-error.js';

/** The module's definition or the application's workflows cannot work; thrown while the application boots. */
export class WorkflowConfigurationError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowConfigurationError';
  readonly code = 'CONFIGURATION';
}

/** The database has no schema, or one of another version, and `autoMigrate` is off. */
export class SchemaMismatchError extends WorkflowError {
  static override readonly errorName: string = 'SchemaMismatchError';
  readonly code = 'SCHEMA_MISMATCH';

  constructor(
    readonly schema: string,
    /** The migrations that the database lacks. */
    readonly missing: readonly string[],
  ) {
    super(
      `Schema "${schema}" lacks ${missing.length === 1 ? 'the migration' : 'the migrations'} ${missing.join(', ')}. ` +
        'Set autoMigrate: true, or run the SQL of migrationSql() yourself',
    );
  }
}

/** The process is closing (or has closed) and takes no more work. */
export class ClosedError extends WorkflowError {
  static override readonly errorName: string = 'ClosedError';
  readonly code = 'CLOSED';

  constructor() {
    super('This WorkflowModule is closed');
  }
}

/**
 * The database could not be reached, or did not take a write, and the call was given up. `cause` is
 * the driver's error. A start is given up after 30 s.
 *
 * @example
 * try {
 *   await client.start(OrderWorkflow, order, { id: `order-${order.id}` });
 * } catch (error) {
 *   // The id makes a second start safe, also where the first one was written after all.
 *   if (error instanceof DatabaseUnavailableError) await queue.retryLater(order);
 *   else throw error;
 * }
 */
export class DatabaseUnavailableError extends WorkflowError {
  static override readonly errorName: string = 'DatabaseUnavailableError';
  readonly code = 'DATABASE_UNAVAILABLE';

  /**
   * True where the write was sent and no answer came: it may have taken effect, or may take effect
   * yet. False where nothing was written.
   */
  readonly mayHaveTakenEffect: boolean;

  constructor(message: string, options: { cause?: unknown; mayHaveTakenEffect?: boolean } = {}) {
    super(message, options);
    this.mayHaveTakenEffect = options.mayHaveTakenEffect ?? false;
  }
}

/**
 * A run was not started: rows of a deleted run of the same id are in the database, and cannot be
 * removed. A trigger or a policy keeps them. See "Deleting runs" in docs/operations.md.
 */
export class LeftoversError extends WorkflowError {
  static override readonly errorName: string = 'LeftoversError';
  readonly code = 'LEFTOVERS';

  constructor(readonly runId: string) {
    super(`Run "${runId}" was not started: rows of a deleted run of that id are still there, and something keeps them from being deleted`);
  }
}

/** A listing, a count or a report took too long and was given up. Ask for less: a narrower filter, a shorter time. */
export class QueryTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'QueryTimeoutError';
  readonly code = 'QUERY_TIMEOUT';

  constructor(
    /** The limit that was exceeded, in milliseconds. */
    readonly timeoutMs: number,
    options?: { cause?: unknown },
  ) {
    super(`The query took longer than ${timeoutMs} ms and was given up. Narrow it down: by name, by tags, by times`, options);
  }
}

/**
 * This worker's session is gone: another worker has taken over. Never leaves the package; a fenced worker stops quietly.
 *
 * @internal
 */
export class FencedError extends WorkflowError {
  static override readonly errorName: string = 'FencedError';
  readonly code = 'FENCED';
}
