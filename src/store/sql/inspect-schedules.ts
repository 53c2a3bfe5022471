import type { Database, Statement } from '../database.js';

/** Maximum number of schedules, events or subscriptions that one check reads. */
const INSPECTED = 1_000;

/** A schedule that does not get on. */
export interface LateSchedule {
  readonly name: string;
  readonly workflow: string;
  /** Milliseconds for which the schedule has been due; negative before. */
  readonly lateMs: number;
  /** Number of failed tries to start the run of its due time. */
  readonly failures: number;
  readonly lastError: string | null;
}

const LATE: Statement = {
  name: 'durable_late_schedules',
  text: (schema) => `SELECT name, workflow, extract(epoch FROM now() - fire_at)::float8 * 1000, failures, last_error
FROM (SELECT * FROM ${schema}.workflow_schedules WHERE fire_at IS NOT NULL ORDER BY fire_at LIMIT ${INSPECTED}) AS s
WHERE s.failures > 0 OR s.fire_at < now() - $1::float8 * interval '1 millisecond' ORDER BY s.fire_at`,
};

/**
 * Finds schedules that have been due for longer than `lateMs`, and schedules whose last try to
 * start a run has failed. Reads the schedules that are due first.
 */
export async function findLateSchedules(database: Database, lateMs: number): Promise<LateSchedule[]> {
  const rows = await database.query<[string, string, number, number, string | null]>(LATE, [lateMs]);
  return rows.map(([name, workflow, late, failures, lastError]) => ({ name, workflow, lateMs: late, failures, lastError }));
}

const UNDECLARED: Statement = {
  name: 'durable_undeclared_schedules',
  text: (schema) => `SELECT name FROM ${schema}.workflow_schedules WHERE is_undeclared ORDER BY name LIMIT ${INSPECTED}`,
};

/** Finds schedules that are paused because no process declares them any more. */
export async function findUndeclaredSchedules(database: Database): Promise<string[]> {
  return (await database.query<[string]>(UNDECLARED, [])).map(([name]) => name);
}

/** A subscription that no process has confirmed for some time. */
export interface OldSubscription {
  readonly event: string;
  readonly workflow: string;
}

const OLD_SUBSCRIPTIONS: Statement = {
  name: 'durable_old_subscriptions',
  text: (schema) => `SELECT event, workflow FROM ${schema}.workflow_event_subscriptions
WHERE confirmed_at < now() - $1::float8 * interval '1 millisecond' ORDER BY event, workflow LIMIT ${INSPECTED}`,
};

/** Finds subscriptions that no process has confirmed for longer than `oldMs`. */
export async function findOldSubscriptions(database: Database, oldMs: number): Promise<OldSubscription[]> {
  const rows = await database.query<[string, string]>(OLD_SUBSCRIPTIONS, [oldMs]);
  return rows.map(([event, workflow]) => ({ event, workflow }));
}
