import { randomBytes } from 'node:crypto';

import type { DataSource } from 'typeorm';

import { TransactionalStepsError } from '../../core/errors/index.js';
import type { Database } from '../../store/database.js';
import { recordInTransaction } from '../../store/sql/record-in-transaction.js';
import { readDefaults, sharesLocks, type TransactionDefaults } from '../../store/sql/transaction-probes.js';
import type { ModuleSettings } from '../settings.js';
import { sqlStateOf } from './sql-state.js';
import { withTransaction } from './open-transaction.js';
import { TransactionWatch } from './transaction-watch.js';

const NO_DEFAULTS: TransactionDefaults = { statementMs: 0, idleMs: 0 };

/** Identity under which nothing can be recorded: no session has the id 0. */
const NOBODY = { id: '0', server: '' };
const NO_RUN = { id: '', epoch: 0 };
const NO_RESULT = {
  step: {
    stepKey: '',
    kind: 'step',
    seq: 0,
    status: 'completed',
    output: null,
    error: null,
    attempts: 1,
    calledAfter: 0,
    calledAfterIo: false,
    argsHash: null,
    startedAt: 0,
    finishedAt: 0,
  },
  closesWait: true,
  takes: null,
} as const;

/** Error that rolls the transaction of a successful proof back. */
class Proven extends Error {}

/**
 * Proves that transactional steps can be executed. A transaction of the application must share its
 * locks with the module's pool, and must be allowed to record a step. Writes nothing.
 *
 * @returns the settings of transactions of the application
 * @throws TransactionalStepsError
 */
export async function proveOneDatabase(
  database: Database,
  dataSource: DataSource | undefined,
  settings: Pick<ModuleSettings, 'runInTransaction' | 'currentTransaction'>,
): Promise<TransactionDefaults> {
  if (!dataSource || (dataSource.options.type as string) !== 'postgres') throw new TransactionalStepsError('no-data-source');
  const watch = new TransactionWatch();
  let defaults = NO_DEFAULTS;
  try {
    await withTransaction(dataSource, settings, { isolation: 'default', timeoutMs: null, defaults }, watch, async (manager) => {
      try {
        const isShared = await sharesLocks(database, manager, BigInt.asIntN(64, randomBytes(8).readBigInt64BE()).toString());
        // This query fails when the connection was lost, and its lock with it, before the module
        // asked for the lock.
        defaults = await readDefaults(manager);
        if (!isShared) throw new TransactionalStepsError('other-database');
        await recordInTransaction(watch.connection, database.schema, NOBODY, NO_RUN, NO_RESULT, 'unnamed');
        throw new Proven();
      } catch (error) {
        watch.rollsBack();
        throw error;
      }
    });
  } catch (error) {
    if (error instanceof Proven) return defaults;
    const state = sqlStateOf(error);
    if (state === '25006') throw new TransactionalStepsError('read-only', { cause: error });
    if (state === '42501') throw new TransactionalStepsError('no-rights', { cause: error });
    // The DataSource may lead to a database without the module's schema.
    if (state === '3F000' || state === '42P01') throw new TransactionalStepsError('other-database', { cause: error });
    throw error;
  }
  // The library has swallowed the error that rolls the transaction back.
  throw new TransactionalStepsError('no-manager');
}
