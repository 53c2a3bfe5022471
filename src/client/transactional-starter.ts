import type { EntityManager } from 'typeorm';

import { InvalidInputError } from '../core/errors/index.js';
import type { NewRun } from '../core/run.js';
import type { Database } from '../store/database.js';
import { findInTransaction, isSameDatabase, startInTransaction } from '../store/sql/start-in-transaction.js';
import { openTransactionOf, type CallerTransaction } from './commit-watch.js';

export interface TransactionalStart {
  /** The ids of the runs that this call created. */
  readonly created: ReadonlySet<string>;
  /** The workflow names of those that were there before. */
  readonly existing: ReadonlyMap<string, string>;
  readonly transaction: CallerTransaction;
}

/** Starts runs in a transaction of the caller. */
export class TransactionalStarter {
  /** DataSources that lead to our database; asked once each. */
  private readonly known = new WeakSet<object>();

  constructor(private readonly database: Database) {}

  /**
   * @param committed is called with the runs once they are real
   * @throws InvalidInputError when the manager has no open transaction, or one on another database
   */
  async start(manager: EntityManager, runs: readonly NewRun[], committed: (runs: readonly NewRun[]) => void): Promise<TransactionalStart> {
    const transaction = await this.check(manager);
    if (runs.length === 0) return { created: new Set(), existing: new Map(), transaction };
    const first = new Map(runs.toReversed().map((run) => [run.id, run]));
    const created = await startInTransaction(this.database, manager, [...first.values()]);
    const others = runs.filter((run) => !created.has(run.id)).map((run) => run.id);
    const existing = others.length === 0 ? new Map<string, { name: string }>() : await findInTransaction(this.database, manager, others);
    transaction.afterCommit(() => committed([...first.values()].filter((run) => created.has(run.id))));
    return { created, existing: new Map([...existing].map(([id, run]) => [id, run.name])), transaction };
  }

  private async check(manager: unknown): Promise<CallerTransaction> {
    if (typeof manager !== 'object' || manager === null || typeof (manager as { query?: unknown }).query !== 'function') {
      throw new InvalidInputError('options.manager', 'must be an EntityManager');
    }
    const entityManager = manager as EntityManager;
    const transaction = openTransactionOf(entityManager);
    if (!transaction) {
      throw new InvalidInputError('options.manager', 'has no open transaction: pass the manager that dataSource.transaction() gives');
    }
    const dataSource = entityManager.connection;
    if (!this.known.has(dataSource)) {
      const isPostgres = (dataSource.options.type as string) === 'postgres';
      if (!isPostgres || !(await isSameDatabase(this.database, entityManager))) {
        throw new InvalidInputError('options.manager', 'belongs to another database than the workflows');
      }
      this.known.add(dataSource);
    }
    return transaction;
  }
}
