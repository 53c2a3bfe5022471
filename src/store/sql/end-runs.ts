import type { ClientBase } from 'pg';

import type { EndedElsewhere } from '../../core/run-notices.js';
import { dispatchKeyText, type DispatchKey, type TerminalStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { changeNamed } from '../many-runs.js';
import { KEPT_BY_FAILED } from './message-kinds.js';
import { freedKeySql } from './places.js';
import { eventColumns, recordEvents } from './run-events.js';
import { TERMINAL } from './run-status.js';

/** Parameters for ending runs without executing their workflow code. */
export interface RunEnding {
  readonly status: Exclude<TerminalStatus, 'completed'>;
  /** JSON text of the error with which each run ends, by run id. */
  readonly errors: ReadonlyMap<string, string>;
  readonly errorCode: string;
  /**
   * Kind of the event in the run's history. `note` is JSON text that says who ends the run and why.
   */
  readonly event: 'terminated' | 'timed_out';
  readonly note: string | null;
  /**
   * Selects which of the runs end. `any` ends all runs that have not ended. Otherwise a run ends
   * only if its deadline has passed and no worker can execute it. `overdueBeside` lists the
   * dispatch keys that this process can execute.
   */
  readonly which: 'any' | { readonly overdueBeside: readonly DispatchKey[] };
  /** Reaction to a run whose row is locked. The statement never waits for the lock. */
  readonly whereLocked: 'fail' | 'leave out';
}

/**
 * Condition for runs (alias `o`) whose deadline passed at least 10 seconds ago and that no worker
 * can execute.
 *
 * - A run that was never executed has nothing to clean up.
 * - A blocked run cannot be executed, because its history fits no deployment that has tried it.
 * - A due run that no living worker claims must be 30 seconds past its deadline, because a
 * deployment may be in progress.
 *
 * The code of any other run sees the deadline at its next execution, and cleans up. So does the
 * code of a run that has steps with compensations, because only this code can undo the steps.
 */
const isOverdue = (
  schema: string,
  served: string,
): string => `o.deadline_at < now() - interval '10 seconds' AND o.status IN ('pending', 'waiting')
  AND (o.started_at IS NULL OR (o.status = 'waiting' AND o.is_blocked) OR (o.status = 'pending' AND o.deadline_at < now() - interval '30 seconds'
    AND NOT o.queue || E'\\n' || o.name || E'\\n' || o.version = ANY (${served})
    AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_sessions s WHERE o.queue || E'\\n' || o.name || E'\\n' || o.version = ANY (s.serves))))
  AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_steps u WHERE u.run_id = o.id AND u.compensate_args IS NOT NULL)`;

/**
 * Ends runs without executing their workflow code, and sends their parents a message. Raises the
 * epoch and removes the session id, so that a worker that is executing the run can no longer write
 * for it. A failed run keeps the rows that a retry needs.
 */
const endStatement = (name: string, lock: 'NOWAIT' | 'SKIP LOCKED'): Statement => ({
  name,
  text: (schema, lockTimeout) => `WITH locked AS MATERIALIZED (
  SELECT r.id, r.place, x.error FROM unnest((SELECT $1::text[]), (SELECT $2::json[])) AS x(id, error) CROSS JOIN LATERAL (
    SELECT id, place FROM ${schema}.workflow_runs o WHERE id = x.id AND status NOT IN ${TERMINAL}
      AND ($7::text = 'any' OR (${isOverdue(schema, '$8::text[]')}))
    LIMIT 1 FOR NO KEY UPDATE ${lock}
  ) AS r
), ended AS (
  UPDATE ${schema}.workflow_runs r SET status = $3, finished_at = now(), error = locked.error,
    error_code = CASE WHEN $3 = 'failed' THEN $4 END, session_id = NULL, epoch = r.epoch + 1,
    ready_at = NULL, wake_at = NULL, is_blocked = false
  FROM locked WHERE r.id = ANY (ARRAY[locked.id])
  RETURNING ${eventColumns('r')}, r.error, r.error_code, CASE WHEN r.parent_step_key IS NOT NULL THEN r.parent_run_id END AS parent, r.parent_step_key,
    ${freedKeySql('locked', 'r')} AS freed_key
), logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data) SELECT id, $5, $6::json FROM ended
), waits AS (
  DELETE FROM ${schema}.workflow_waits w USING ended WHERE w.run_id = ANY (ARRAY[ended.id]) AND NOT ($3 = 'failed' AND w.kind = 'child')
), messages AS (
  DELETE FROM ${schema}.workflow_inbox i USING ended WHERE i.run_id = ANY (ARRAY[ended.id]) AND NOT ($3 = 'failed' AND i.kind IN ${KEPT_BY_FAILED})
), notified_parents AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload) SELECT parent, 'child_failed', parent_step_key, error FROM ended WHERE parent IS NOT NULL
), events AS (${recordEvents(schema, { from: 'ended r', event: `'run.' || r.status`, error: 'r.error', facts: `'code', r.error_code` })}
)
SELECT id, parent, name, queue, freed_key FROM ended WHERE true${lockTimeout}`,
});

const END_OR_FAIL = endStatement('durable_end_runs', 'NOWAIT');
const END_UNLOCKED = endStatement('durable_end_unlocked_runs', 'SKIP LOCKED');

/** A run that was ended. */
export interface EndedRun extends EndedElsewhere {
  /**
   * Id of the parent. A message about the end is in the inbox of the parent, but the parent has not
   * been notified.
   */
  readonly parentId: string | null;
  readonly queue: string;
  /** Key of a run that has lost its place in its queue; null for any other run. */
  readonly freedKey: string | null;
}

/**
 * Ends runs without executing their workflow code. Returns the runs that it ended, without those
 * that had ended before.
 *
 * @throws the lock error of the database when a row is locked and `whereLocked` is `fail`; the
 * caller queues the call in `RowLockQueues`, which tries it again
 */
export async function endRuns(database: Database, ending: RunEnding, client?: ClientBase): Promise<EndedRun[]> {
  const { status, errors, errorCode, event, note, which, whereLocked } = ending;
  // Sorted: every statement locks runs in the order of their ids, which prevents deadlocks.
  const allIds = [...errors.keys()].sort();
  const values = (ids: readonly string[]): unknown[] => [
    ids,
    ids.map((id) => errors.get(id)),
    status,
    errorCode,
    event,
    note,
    which === 'any' ? 'any' : 'overdue',
    which === 'any' ? [] : which.overdueBeside.map(dispatchKeyText),
  ];
  const statement = whereLocked === 'fail' ? END_OR_FAIL : END_UNLOCKED;
  const end = (ids: readonly string[]) =>
    database.query<[string, string | null, string, string, string | null]>(statement, values(ids), client);
  // With a transaction or `fail`, the caller gets the error of the database. Otherwise a run that
  // the database refuses to change is left out.
  const rows = client || whereLocked === 'fail' ? await end(allIds) : await changeNamed(database, statement.name, allIds, end);
  if (rows.length > 0) database.listened.recorded();
  return rows.map(([id, parentId, name, queue, freedKey]) => ({ id, name, status, parentId, queue, freedKey }));
}

const OVERDUE: Statement = {
  name: 'durable_overdue_runs',
  text: (schema) => `SELECT id FROM ${schema}.workflow_runs o WHERE ${isOverdue(schema, '$1::text[]')} ORDER BY o.deadline_at LIMIT 500`,
};

/**
 * Finds runs whose deadline has passed and that no worker can execute.
 *
 * @param served dispatch keys that this process can execute
 */
export async function findOverdueRuns(database: Database, served: readonly DispatchKey[]): Promise<string[]> {
  return (await database.query<[string]>(OVERDUE, [served.map(dispatchKeyText)])).map(([id]) => id);
}

const UNEXECUTABLE: Statement = {
  name: 'durable_unexecutable_runs',
  text: (schema) => `SELECT r.id FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT id FROM ${schema}.workflow_runs o WHERE o.id = x.id AND o.started_at IS NOT NULL AND o.status IN ('pending', 'waiting', 'paused')
    AND (o.is_blocked OR (EXISTS (SELECT 1 FROM ${schema}.workflow_sessions) AND NOT EXISTS (
      SELECT 1 FROM ${schema}.workflow_sessions s WHERE o.queue || E'\\n' || o.name || E'\\n' || o.version = ANY (s.serves))))
  LIMIT 1
) AS r`,
};

/**
 * Selects the runs whose code no living worker can execute. When no worker has a session, it is
 * unknown which processes can execute runs, so only blocked runs are selected. With QStash, for
 * example, a session exists only during deliveries.
 */
export async function findUnexecutable(database: Database, ids: readonly string[], client?: ClientBase): Promise<string[]> {
  return (await database.query<[string]>(UNEXECUTABLE, [ids], client)).map(([id]) => id);
}
