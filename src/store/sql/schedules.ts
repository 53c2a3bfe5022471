import { TERMINAL_STATUSES, type ShownStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import {
  insertSchedulesSql,
  scheduleJson,
  scheduleParameter,
  toScheduleRow,
  updateSchedulesSql,
  type ScheduleRow,
  type WrittenFields,
} from '../schedule-row.js';
import { CALLER_MARK } from './caller-mark.js';
import { currentRunSql, shownStatusSql } from './chains.js';

/** Open transaction: one of TypeORM, or one of the module's own pool. */
export interface SqlRunner {
  query<Rows = unknown>(sql: string, parameters?: unknown[]): Promise<Rows>;
}

/** Milliseconds for which a transaction waits for a lock of another one. */
const LOCK_WAIT_MS = 2_000;

const TERMINAL = TERMINAL_STATUSES.map((status) => `'${status}'`).join(', ');

/**
 * Builds SQL for the ids of a schedule's runs that have not ended. A run that was continued by
 * another run counts while the last run of the chain has not ended.
 */
const activeRuns = (schema: string, alias: string): string =>
  `ARRAY(SELECT o.id FROM unnest(${alias}.open_runs) AS o(id)
    WHERE EXISTS (SELECT 1 FROM ${currentRunSql(schema, 'o.id', 'status')} AS current WHERE current.status NOT IN (${TERMINAL})))`;

/** Builds the condition of a schedule whose queued run can start. */
export const queueIsFree = (schema: string, alias: string): string =>
  `${alias}.queued_at IS NOT NULL AND ${alias}.paused_at IS NULL AND ${alias}.failures = 0 AND cardinality(${activeRuns(schema, alias)}) = 0`;

/** Schedules for which a process starts runs. */
export interface ServedSchedules {
  /** Workflows that the process has, whose schedules were created by a client. */
  readonly workflows: readonly string[];
  /** Names of the schedules that the code of the process declares. */
  readonly declared: readonly string[];
}

/**
 * Condition of the schedules that a process serves. A process does not serve a schedule that only
 * the code of another deployment declares: its own code may have dropped the schedule.
 */
const served = (alias: string): string =>
  `CASE WHEN ${alias}.definition IS NULL THEN ${alias}.workflow = ANY ($1::text[]) ELSE ${alias}.name = ANY ($2::text[]) END`;

/** A schedule that needs attention, as a process has locked it. */
export interface LockedSchedule {
  readonly row: ScheduleRow;
  /** Ids of the schedule's runs that have not ended. */
  readonly activeRuns: readonly string[];
  /** Time of the database's clock, in milliseconds since the epoch. */
  readonly now: number;
}

interface LockedRow {
  readonly row: string;
  readonly now: string;
}

const LOCKED_COLUMNS = `${scheduleJson('s')} AS "row", (extract(epoch FROM now()) * 1000)::text AS now`;

/**
 * Adds the runs that have not ended to locked schedules. A statement of its own reads them, because
 * the one that has waited for the lock does not see the runs that the former holder has started.
 */
async function toLocked(database: Database, transaction: SqlRunner, found: readonly LockedRow[]): Promise<LockedSchedule[]> {
  const rows = found.map(({ row, now }) => ({ row: toScheduleRow(row), now: Math.floor(Number(now)) }));
  const names = rows.flatMap(({ row }) => (row.openRuns.length > 0 ? [row.name] : []));
  const active = new Map<string, readonly string[]>();
  if (names.length > 0) {
    const { schema } = database;
    const read = await transaction.query<{ readonly name: string; readonly active: string }[]>(
      `SELECT s.name, array_to_json(${activeRuns(schema, 's')})::text AS active FROM ${schema}.workflow_schedules s WHERE s.name = ANY ($1::text[])`,
      [names],
    );
    for (const each of read) active.set(each.name, JSON.parse(each.active) as string[]);
  }
  return rows.map(({ row, now }) => ({ row, now, activeRuns: active.get(row.name) ?? [] }));
}

/**
 * Sets the longest wait for a lock in the transaction. An open transaction of the application may
 * have started a run with the same id, and may stay open for long.
 */
export async function limitLockWait(transaction: SqlRunner): Promise<void> {
  await transaction.query(`SELECT set_config('lock_timeout', $1, true)`, [String(LOCK_WAIT_MS)]);
}

/**
 * Executes `work` in a transaction on the module's pool, which waits for locks for at most
 * `LOCK_WAIT_MS`.
 */
export async function inScheduleTransaction<T>(database: Database, work: (transaction: SqlRunner) => Promise<T>): Promise<T> {
  return database.transaction(async (client) => {
    const runner: SqlRunner = {
      query: async <Rows>(sql: string, parameters: unknown[] = []) => (await client.query(sql, parameters)).rows as Rows,
    };
    await limitLockWait(runner);
    return work(runner);
  });
}

/**
 * Locks schedules that need attention. Leaves out those that another process has locked. The
 * columns are those of the locked rows: another process may have changed a row after the snapshot.
 */
export async function lockDueSchedules(
  database: Database,
  transaction: SqlRunner,
  { workflows, declared }: ServedSchedules,
  limit: number,
): Promise<LockedSchedule[]> {
  const { schema } = database;
  const rows = await transaction.query<LockedRow[]>(
    `WITH due AS MATERIALIZED (
  SELECT s.* FROM ${schema}.workflow_schedules s WHERE s.fire_at <= now() AND ${served('s')}
  ORDER BY s.fire_at LIMIT $3::int FOR NO KEY UPDATE SKIP LOCKED
), queued AS MATERIALIZED (
  SELECT s.* FROM ${schema}.workflow_schedules s WHERE ${queueIsFree(schema, 's')} AND ${served('s')}
  ORDER BY s.name LIMIT $3::int FOR NO KEY UPDATE SKIP LOCKED
), found AS MATERIALIZED (SELECT * FROM due UNION ALL SELECT * FROM queued WHERE name NOT IN (SELECT name FROM due))
SELECT ${LOCKED_COLUMNS} FROM found s ORDER BY s.name`,
    [workflows, declared, limit],
  );
  return toLocked(database, transaction, rows);
}

/** Locks one schedule, and waits for a process that has locked it. Undefined without a schedule. */
export async function lockSchedule(database: Database, transaction: SqlRunner, name: string): Promise<LockedSchedule | undefined> {
  const { schema } = database;
  const rows = await transaction.query<LockedRow[]>(
    `WITH s AS MATERIALIZED (SELECT * FROM ${schema}.workflow_schedules WHERE name = $1 FOR NO KEY UPDATE)
SELECT ${LOCKED_COLUMNS} FROM s`,
    [name],
  );
  return (await toLocked(database, transaction, rows))[0];
}

/** Inserts a schedule. Returns false when a schedule has the name. */
export async function insertSchedule(database: Database, transaction: SqlRunner, row: ScheduleRow): Promise<boolean> {
  const rows = await transaction.query<unknown[]>(`${CALLER_MARK} ${insertSchedulesSql(database.schema, '$1')}`, [JSON.stringify([row])]);
  return rows.length > 0;
}

/** Writes rows that the transaction has locked. */
export async function updateSchedules(
  database: Database,
  transaction: SqlRunner,
  rows: readonly ScheduleRow[],
  which: WrittenFields,
): Promise<void> {
  if (rows.length === 0) return;
  await transaction.query(updateSchedulesSql(database.schema, '$1', which), [scheduleParameter(rows, which)]);
}

/** Deletes a schedule. */
export async function deleteSchedule(database: Database, transaction: SqlRunner, name: string): Promise<void> {
  await transaction.query(`DELETE FROM ${database.schema}.workflow_schedules WHERE name = $1`, [name]);
}

/** Reads one schedule. */
export async function readSchedule(database: Database, name: string): Promise<ScheduleRow | undefined> {
  const [row] = await database.read<[string]>(
    `SELECT ${scheduleJson('s')} FROM ${database.schema}.workflow_schedules s WHERE s.name = $1`,
    [name],
  );
  return row && toScheduleRow(row[0]);
}

/** Reads schedules in the order of their names. */
export async function listSchedules(
  database: Database,
  { workflow, after, limit }: { readonly workflow: string | null; readonly after: string | null; readonly limit: number },
): Promise<ScheduleRow[]> {
  const rows = await database.read<[string]>(
    `SELECT ${scheduleJson('s')} FROM ${database.schema}.workflow_schedules s
WHERE ($1::text IS NULL OR s.workflow = $1) AND ($2::text IS NULL OR s.name > $2) ORDER BY s.name LIMIT $3::int`,
    [workflow, after, limit],
  );
  return rows.map(([row]) => toScheduleRow(row));
}

/** A run of a schedule, as a listing shows it. */
export interface ScheduleRunRow {
  readonly runId: string;
  readonly status: ShownStatus;
  readonly dueAt: number;
}

/**
 * Reads the last runs of a schedule that were started for a due time. Their ids are the name of the
 * schedule and the due time, so the primary key has them in order.
 */
export async function readScheduleRuns(database: Database, name: string, limit: number): Promise<ScheduleRunRow[]> {
  const rows = await database.read<[string, ShownStatus, number]>(
    `SELECT r.id, ${shownStatusSql('r')}, extract(epoch FROM r.due_at)::float8 * 1000 FROM ${database.schema}.workflow_runs r
WHERE r.id >= $1 || '@' AND r.id < $1 || 'A' AND r.schedule = $1 ORDER BY r.id DESC LIMIT $2::int`,
    [name, limit],
  );
  return rows.map(([runId, status, dueAt]) => ({ runId, status, dueAt }));
}

const least = (...times: string[]): string => `extract(epoch FROM least(${times.join(', ')}))::float8 * 1000`;

/**
 * Builds SQL for the next time at which any schedule needs attention, in milliseconds since the
 * epoch, or NULL. The timer service reads it together with the next wake time of runs, so that an
 * application without schedules sends no statement for them.
 */
export function nextScheduleSql(schema: string): string {
  return `(SELECT ${least(
    `(SELECT min(fire_at) FROM ${schema}.workflow_schedules WHERE fire_at IS NOT NULL)`,
    `(SELECT min(declared_until) FROM ${schema}.workflow_schedules WHERE declared_until IS NOT NULL)`,
    `(SELECT now() FROM ${schema}.workflow_schedules s WHERE ${queueIsFree(schema, 's')} LIMIT 1)`,
  )})`;
}

const NEXT_SERVED: Statement = {
  name: 'durable_next_served_schedule',
  text: (schema) => `SELECT extract(epoch FROM min(s.fire_at))::float8 * 1000 FROM ${schema}.workflow_schedules s
WHERE s.fire_at IS NOT NULL AND ${served('s')}`,
};

/** Reads the next time at which a schedule that the process serves is due. */
export async function nextServedTime(database: Database, { workflows, declared }: ServedSchedules): Promise<number | undefined> {
  const [row] = await database.query<[number | null]>(NEXT_SERVED, [workflows, declared]);
  return row?.[0] ?? undefined;
}

const QUEUED: Statement = {
  name: 'durable_queued_schedule',
  text: (schema) => `SELECT true FROM ${schema}.workflow_schedules s WHERE s.name = $1 AND ${queueIsFree(schema, 's')}`,
};

/** True when a schedule has a queued run that can start, because all other runs have ended. */
export async function hasFreeQueuedRun(database: Database, name: string): Promise<boolean> {
  return (await database.query(QUEUED, [name])).length > 0;
}

const FRESH_DECLARATIONS: Statement = {
  name: 'durable_fresh_declarations',
  text: (schema) => `SELECT name FROM ${schema}.workflow_schedules
WHERE name = ANY ($1::text[]) AND declared_until > now() + $2::float8 * interval '1 millisecond'`,
};

/** Returns those of the schedules that count as declared for at least so many milliseconds. */
export async function findFreshDeclarations(database: Database, names: readonly string[], ms: number): Promise<Set<string>> {
  return new Set((await database.query<[string]>(FRESH_DECLARATIONS, [names, ms])).map(([name]) => name));
}

const PAUSE_UNDECLARED: Statement = {
  name: 'durable_pause_undeclared',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_schedules SET declared_until = NULL, is_undeclared = true,
  paused_at = coalesce(paused_at, now()), pause_reason = coalesce(pause_reason, $1), resume_at = NULL, fire_at = NULL, queued_at = NULL, updated_at = now()
WHERE declared_until < now()${lockTimeout} RETURNING name`,
};

/**
 * Pauses schedules that no living process declares any more.
 *
 * @returns their names
 */
export async function pauseUndeclared(database: Database, reason: string): Promise<string[]> {
  return (await database.query<[string]>(PAUSE_UNDECLARED, [reason])).map(([name]) => name);
}
