import type { DataSource, EntityManager } from 'typeorm';

import { InvalidInputError } from '../../core/errors/index.js';
import { isPromise } from '../../core/async.js';
import type { Database } from '../../store/database.js';
import { isSameDatabase } from '../../store/sql/start-in-transaction.js';
import { openTransactionOf, type CallerTransaction } from './caller-transaction.js';
import { callerError, endedUnder } from './caller-errors.js';

/** Which transaction a call joins: the given one; `'none'`; when absent the ambient one, if there is one. */
export type ManagerOption = EntityManager | 'none' | undefined;

/** Finds the transaction that the code around a call is in, if it is in one. */
export type AmbientManager = () => EntityManager | undefined;

/** A transaction of the caller that a call is to join. */
export interface JoinedTransaction {
  readonly manager: EntityManager;
  readonly transaction: CallerTransaction;
  /** What brought it, for errors. */
  readonly argument: string;
}

const EXPLICIT = 'options.manager';
const AMBIENT = 'currentTransaction';

/** Decides which transaction of its caller a call joins; the only place that does. */
export class CallerTransactions {
  /** DataSources that lead to our database; asked once each. */
  private readonly known = new WeakSet<object>();

  constructor(
    private readonly database: Database,
    private readonly ambient: AmbientManager | undefined,
  ) {}

  /**
   * The transaction to join. Answers at once and asks nothing: `verify` does, on the caller's own connection.
   *
   * @throws InvalidInputError when the manager is none, or a given one has no open transaction; when the ambient function throws
   */
  find(manager: ManagerOption): JoinedTransaction | undefined {
    if (manager === 'none') return undefined;
    if (manager === undefined) return this.findAmbient();
    if (!isManager(manager)) throw new InvalidInputError(EXPLICIT, "must be an EntityManager, or 'none'");
    const transaction = transactionOf(manager, EXPLICIT);
    if (!transaction) {
      throw new InvalidInputError(EXPLICIT, 'has no open transaction: pass the manager that dataSource.transaction() gives');
    }
    return { manager, transaction, argument: EXPLICIT };
  }

  /**
   * Makes sure that the transaction is one on our database, and still open.
   *
   * @throws InvalidInputError
   */
  async verify({ manager, transaction, argument }: JoinedTransaction): Promise<void> {
    const { dataSource, isPostgres } = readDataSource(manager, argument);
    if (!this.known.has(dataSource)) {
      if (!isPostgres || !(await this.isOurs(manager, argument))) {
        throw new InvalidInputError(argument, 'belongs to another database than the workflows');
      }
      this.known.add(dataSource);
    }
    if (!transaction.isOpen) throw endedUnder(argument);
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
      throw new InvalidInputError(AMBIENT, `must return an EntityManager or undefined, and at once${what}`);
    }
    // Outside a transaction the libraries give the DataSource's own manager.
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

/** It has a method of the right name, and nothing behind it. */
function notAManager(argument: string, cause: unknown): InvalidInputError {
  return new InvalidInputError(argument, 'is not an EntityManager of TypeORM', { cause });
}
