import type { EntityManager } from 'typeorm';

import type { Database, Statement } from '../database.js';

const TRY_LOCK: Statement = { name: 'durable_try_shared_lock', text: () => 'SELECT pg_try_advisory_xact_lock($1::bigint)' };

const CANCEL: Statement = { name: 'durable_cancel_backend', text: () => 'SELECT pg_cancel_backend($1::int)' };

/**
 * Returns true when the transaction and the module's pool lead to the same database. The
 * transaction takes an advisory lock, and the pool then fails to take the same lock. Names and
 * addresses would prove nothing: two servers may have the same, and one server may have several.
 *
 * @param key number that nobody else uses for a lock
 */
export async function sharesLocks(database: Database, manager: EntityManager, key: string): Promise<boolean> {
  await manager.query('SELECT pg_advisory_xact_lock($1::bigint)', [key]);
  const [row] = await database.query<[boolean]>(TRY_LOCK, [key]);
  return !row![0];
}

/** Cancels the statement that a backend of the same role executes. */
export async function cancelBackend(database: Database, pid: number): Promise<void> {
  await database.query(CANCEL, [pid]);
}

/** Limits that transactions of the DataSource have by default, from the role and the database. */
export interface TransactionDefaults {
  /** Limit of a statement, in milliseconds; 0 for none. */
  readonly statementMs: number;
  /** Limit of the time between two statements, in milliseconds; 0 for none. */
  readonly idleMs: number;
}

const milliseconds = (setting: string): string => `(extract(epoch FROM current_setting('${setting}')::interval) * 1000)::bigint::text`;

/** Reads the limits that a transaction of the DataSource has by default. */
export async function readDefaults(manager: EntityManager): Promise<TransactionDefaults> {
  const [row] = await manager.query<{ statement: string; idle: string }[]>(
    `SELECT ${milliseconds('statement_timeout')} AS statement, ${milliseconds('idle_in_transaction_session_timeout')} AS idle`,
  );
  return { statementMs: Number(row!.statement), idleMs: Number(row!.idle) };
}

/**
 * Builds SQL that limits the rest of a transaction: each of its statements, and the time that it
 * idles between two statements. Stricter limits of the role remain. Plain SET costs the server less
 * than `set_config` with an expression.
 *
 * @param ms limit in milliseconds
 */
export function limitsSql(ms: number, { statementMs, idleMs }: TransactionDefaults): string {
  const limit = Math.min(Math.ceil(ms), 2_147_483_647);
  const least = (own: number): number => (own === 0 ? limit : Math.min(own, limit));
  return `SET LOCAL statement_timeout = ${least(statementMs)}; SET LOCAL idle_in_transaction_session_timeout = ${least(idleMs)}`;
}
