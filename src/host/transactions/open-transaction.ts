import type { DataSource, EntityManager } from 'typeorm';

import { TransactionalStepsError } from '../../core/errors/index.js';
import type { WantedIsolation } from '../../core/transactional.js';
import { limitsSql, type TransactionDefaults } from '../../store/sql/transaction-probes.js';
import type { ModuleSettings } from '../settings.js';
import type { TransactionWatch } from './transaction-watch.js';

/**
 * Time by which the limit of the server exceeds the limit of this process, in milliseconds. A body
 * that takes too long then fails with the error of the step's timeout.
 */
const SERVER_MARGIN_MS = 2_000;

/** Options of the transaction of a step. */
export interface TransactionOptions {
  readonly isolation: WantedIsolation;
  /** Milliseconds that the transaction may take; null for no limit. */
  readonly timeoutMs: number | null;
  /** Limits of the role and the database. The stricter of two limits applies. */
  readonly defaults: TransactionDefaults;
}

/**
 * Executes work in a new transaction on the application's DataSource, and commits it. Rolls back
 * when the work fails. With the option `runInTransaction`, a library opens and ends the
 * transaction, and repositories that the library manages join the transaction.
 */
export async function withTransaction(
  dataSource: DataSource,
  { runInTransaction, currentTransaction }: Pick<ModuleSettings, 'runInTransaction' | 'currentTransaction'>,
  { isolation, timeoutMs, defaults }: TransactionOptions,
  watch: TransactionWatch,
  work: (manager: EntityManager) => Promise<void>,
): Promise<void> {
  const level = isolation === 'default' ? undefined : isolation;
  const limits = timeoutMs === null ? undefined : limitsSql(timeoutMs + SERVER_MARGIN_MS, defaults);
  if (runInTransaction) {
    let isCalled = false;
    await runInTransaction(async () => {
      isCalled = true;
      const manager = currentTransaction?.();
      if (!manager?.queryRunner?.isTransactionActive) throw new TransactionalStepsError('no-manager');
      await watch.install(manager.queryRunner);
      try {
        if (limits !== undefined) await manager.query(limits);
        await work(manager);
      } catch (error) {
        watch.rollsBack();
        throw error;
      }
    }, level);
    if (!isCalled) throw new TransactionalStepsError('no-manager');
    return;
  }
  const runner = dataSource.createQueryRunner('master');
  try {
    // TypeORM 1 has a default level among the options of the DataSource.
    const { isolationLevel } = dataSource.options as { isolationLevel?: string };
    await watch.install(runner, { isolation: level ?? isolationLevel, limits });
    await runner.startTransaction(level);
    watch.opened();
    await work(runner.manager);
    await runner.commitTransaction();
  } catch (error) {
    watch.rollsBack();
    await rollBack(runner);
    throw error;
  } finally {
    await runner.release();
  }
}

async function rollBack(runner: ReturnType<DataSource['createQueryRunner']>): Promise<void> {
  try {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
  } catch {
    // The connection is lost, and the server rolls back. The caller gets the first error.
  }
}
