import { WorkflowError } from './workflow-error.js';

/**
 * The module's options, the application's workflows or the database cannot work as they are. The
 * application does not boot. The message says what to change.
 *
 * @example
 * await app.init().catch((error) => {
 *   if (error instanceof WorkflowConfigurationError) logger.fatal(error.message);
 *   throw error;
 * });
 */
export class WorkflowConfigurationError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowConfigurationError';
  readonly code = 'CONFIGURATION';
}

/**
 * The database has no schema, or the schema of another version, and `autoMigrate` is off. Set
 * `autoMigrate: true`, or execute the SQL of `migrationSql()` before the application boots.
 *
 * @example
 * writeFileSync('durable.sql', migrationSql());
 */
export class SchemaMismatchError extends WorkflowError {
  static override readonly errorName: string = 'SchemaMismatchError';
  readonly code = 'SCHEMA_MISMATCH';

  constructor(
    /** Name of the schema. */
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

/**
 * The module is closing or has closed, and accepts no more calls. Make the call before
 * `app.close()`, or in another process.
 *
 * @example
 * if (error instanceof ClosedError) return reply.status(503).send();
 */
export class ClosedError extends WorkflowError {
  static override readonly errorName: string = 'ClosedError';
  readonly code = 'CLOSED';

  constructor() {
    super('This WorkflowModule is closed');
  }
}

/**
 * The database could not be reached, or did not confirm a write, and the call stopped waiting. A
 * start stops waiting after 30 seconds. `cause` is the driver's error. Call again later.
 *
 * @example
 * try {
 *   await client.start(OrderWorkflow, order, { id: `order-${order.id}` });
 * } catch (error) {
 *   // The id makes a second start safe, even when the first one was written after all.
 *   if (error instanceof DatabaseUnavailableError) await queue.retryLater(order);
 *   else throw error;
 * }
 */
export class DatabaseUnavailableError extends WorkflowError {
  static override readonly errorName: string = 'DatabaseUnavailableError';
  readonly code = 'DATABASE_UNAVAILABLE';

  /**
   * True when the write was sent and no response arrived: the write may have taken effect, or may
   * still take effect. False when nothing was written.
   */
  readonly mayHaveTakenEffect: boolean;

  constructor(message: string, options: { cause?: unknown; mayHaveTakenEffect?: boolean } = {}) {
    super(message, options);
    this.mayHaveTakenEffect = options.mayHaveTakenEffect ?? false;
  }
}

/**
 * A run was not started. The database still has rows of a deleted run with the same id, and a
 * trigger or a policy prevents the removal of those rows. Remove the rows, or choose another id.
 * See "Deleting runs by hand" in docs/operations.md.
 *
 * @example
 * if (error instanceof LeftoversError) logger.error(`delete the rows of ${error.runId} first`);
 */
export class LeftoversError extends WorkflowError {
  static override readonly errorName: string = 'LeftoversError';
  readonly code = 'LEFTOVERS';

  /** @param runId id of the run */
  constructor(readonly runId: string) {
    super(
      `Run "${runId}" was not started: the database has rows of a deleted run with that id, and a trigger or a policy prevents their ` +
        'removal. See "Deleting runs by hand" in docs/operations.md',
    );
  }
}

/**
 * A listing, a count or a report took too long and was stopped. Use a narrower filter: a name,
 * tags, or a shorter time.
 *
 * @example
 * await client.count({ name: 'order', createdAfter: yesterday });
 */
export class QueryTimeoutError extends WorkflowError {
  static override readonly errorName: string = 'QueryTimeoutError';
  readonly code = 'QUERY_TIMEOUT';

  constructor(
    /** The limit that was exceeded, in milliseconds. */
    readonly timeoutMs: number,
    options?: { cause?: unknown },
  ) {
    super(`The query took longer than ${timeoutMs} ms and was stopped. Use a narrower filter: a name, tags, or a shorter time`, options);
  }
}

/**
 * This worker no longer owns a run, because its session has ended or the run was deleted. The
 * worker drops the run and writes nothing more of it. `run()` and callers of the client never get
 * the error. An aborted step may have the error as the reason of its AbortSignal.
 *
 * @internal
 */
export class FencedError extends WorkflowError {
  static override readonly errorName: string = 'FencedError';
  readonly code = 'FENCED';
}
