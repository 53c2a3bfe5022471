import type { DataSource, EntityManager } from 'typeorm';

import { InvalidInputError } from '../../core/errors/index.js';
import { isPromise } from '../../core/async.js';
import type { Database } from '../../store/database.js';
import { isSameDatabase } from '../../store/sql/same-database.js';
import { openTransactionOf, type CallerTransaction } from './caller-transaction.js';
import { callerError, endedDuringCall } from './caller-errors.js';
import type { ManagerOption } from './manager-option.js';

/**
 * Returns the manager of the ambient transaction: the one in which the calling code runs, if any.
 */
export type AmbientManager = () => EntityManager | undefined;

/** A caller's transaction that a client call joins. */
export interface JoinedTransaction {
  readonly manager: EntityManager;
  readonly transaction: CallerTransaction;
  /** Name of the option or setting that supplied the transaction, for errors. */
  readonly argument: string;
}

const EXPLICIT = 'options.manager';
const AMBIENT = 'currentTransaction';

/** Decides which of its caller's transactions a client call joins. No other code decides this. */
export class CallerTransactions {
  /** DataSources that were found to use the workflows' database. Each is checked only once. */
  private readonly known = new WeakSet<object>();

  constructor(
    private readonly database: Database,
    private readonly ambient: AmbientManager | undefined,
  ) {}

  /**
   * Returns the transaction to join, if any. Sends no query, because tracking must begin before a
   * caller that does not await the call can end the transaction. `verify` later checks the database
   * through the caller's own connection.
   *
   * @throws InvalidInputError when the value is not a manager, when a given manager has no open
   *   transaction, or when the ambient function throws
   */
  find(manager: ManagerOption): JoinedTransaction | undefined {
    if (manager === 'none') return undefined;
    if (manager === undefined) return this.findAmbient();
    if (!isManager(manager)) throw new InvalidInputError(EXPLICIT, "must be an EntityManager, or 'none'");
    const transaction = transactionOf(manager, EXPLICIT);
    if (!transaction) {
      throw new InvalidInputError(EXPLICIT, 'has no open transaction: pass the manager that dataSource.transaction() provides');
    }
    return { manager, transaction, argument: EXPLICIT };
  }

  /**
   * Verifies that the transaction uses the workflows' database, and that it is still open.
   *
   * @throws InvalidInputError when the transaction uses another database or has ended
   */
  async verify({ manager, transaction, argument }: JoinedTransaction): Promise<void> {
    const { dataSource, isPostgres } = readDataSource(manager, argument);
    if (!this.known.has(dataSource)) {
      if (!isPostgres || !(await this.isOurs(manager, argument))) {
        throw new InvalidInputError(argument, 'belongs to a database other than that of the workflows');
      }
      this.known.add(dataSource);
    }
    if (!transaction.isOpen) throw endedDuringCall(argument);
  }

  private async isOurs(manager: EntityManager, argument: string): Promise<boolean> {
    try {
      return await isSameDatabase(this.database, manager);
    } catch (error) {
      throw error instanceof TypeError ? notAManager(argument, error) : callerError(error, [], argument);
    }
  }

  private findAmbient(): JoinedTransaction | undefined {
    if (!this.ambient) return undefined;
    let manager: unknown;
    try {
      manager = this.ambient();
    } catch (error) {
      throw new InvalidInputError(AMBIENT, `threw: ${error instanceof Error ? error.message : typeof error}`, { cause: error });
    }
    if (manager === undefined || manager === null) return undefined;
    if (!isManager(manager)) {
      const what = isPromise(manager) ? ', not a promise' : '';
      throw new InvalidInputError(AMBIENT, `must return an EntityManager or undefined synchronously${what}`);
    }
    // Outside a transaction, libraries for ambient transactions return the DataSource's own
    // manager. That manager has no transaction to join.
    const transaction = transactionOf(manager, AMBIENT);
    return transaction && { manager, transaction, argument: AMBIENT };
  }
}

function isManager(value: unknown): value is EntityManager {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return typeof (value as { query?: unknown }).query === 'function';
  } catch {
    return false;
  }
}

function transactionOf(manager: EntityManager, argument: string): CallerTransaction | undefined {
  try {
    return openTransactionOf(manager);
  } catch (error) {
    throw notAManager(argument, error);
  }
}

function readDataSource(manager: EntityManager, argument: string): { dataSource: DataSource; isPostgres: boolean } {
  try {
    const dataSource = manager.connection;
    return { dataSource, isPostgres: (dataSource.options.type as string) === 'postgres' };
  } catch (error) {
    throw notAManager(argument, error);
  }
}

/** Creates the error for an object that has a `query` method but is not an EntityManager. */
function notAManager(argument: string, cause: unknown): InvalidInputError {
  return new InvalidInputError(argument, 'is not an EntityManager of TypeORM', { cause });
}
