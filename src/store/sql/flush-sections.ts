import { childAddressSql } from '../../core/step-key-format.js';
import { COLUMNS } from '../flush-columns.js';
import { columnList, fromMs, owned, valueList, withoutEpoch, type Section } from './flush-section.js';
import { runEvents, stepEvents } from './flush-events.js';
import { starts, startsByRuns, tagsOf } from './flush-starts.js';
import { KEPT_BY_FAILED, MOVES_ON } from './message-kinds.js';
import { eventColumns } from './run-events.js';
import { continuedReceivers, emitted, eventWaits, receivedEvents } from './flush-emitted.js';
import { batchMembers } from './batch-starts.js';
import { sharedStarts, sharedTags } from './shared-starts.js';
import { streamChunks } from './flush-streams.js';
import { TERMINAL } from './run-status.js';

const WAIT_COLUMNS = withoutEpoch(COLUMNS.waits);
const STATE_COLUMNS = withoutEpoch(COLUMNS.states);

/**
 * Approximate maximum number of dropped payloads that a run's history shows. A payload of a hook is
 * dropped when the workflow does not accept it.
 */
const DROPS_SHOWN = 100;

/** Builds a condition that is true when the history has room for one more dropped payload. */
const isDropShown = (schema: string): string =>
  `(x.data IS NOT NULL AND (SELECT count(*) FROM (
    SELECT 1 FROM ${schema}.workflow_run_log d WHERE d.run_id = x.run_id AND d.kind = 'payload_dropped' LIMIT ${DROPS_SHOWN}) AS shown) < ${DROPS_SHOWN})`;

/**
 * Inserts results of steps. A flush with a step that has a compensation contains the form with the
 * arguments of compensations, and any other flush the form without.
 */
const steps = (key: 'steps' | 'undoableSteps'): Section => ({
  key,
  as: 'steps',
  sql: (schema, rows, has) => `
  INSERT INTO ${schema}.workflow_steps (${columnList(COLUMNS[key])})
  SELECT ${valueList(COLUMNS[key], { started_at: fromMs('x.started_at'), finished_at: fromMs('x.finished_at') })}
  FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT (run_id, step_key) DO NOTHING
  RETURNING ${has('stepEvents') ? 'run_id, step_key, kind, status, error, attempts' : '1'}`,
});

/**
 * Omits a wait for a child that this call has not started, because such a wait would never end. The
 * child's id may belong to a run that does not report to this call.
 */
const childIsThere = (schema: string): string => `
  WHERE x.kind <> 'child' OR (SELECT true FROM starts_by_runs WHERE id = x.name LIMIT 1)
    OR (SELECT r.parent_run_id = x.run_id AND r.parent_step_key = ${childAddressSql('x.step_key', 'x.attempts')}
      FROM ${schema}.workflow_runs r WHERE r.id = x.name LIMIT 1)`;

/**
 * Sections of the flush statement, in the order in which it contains them. PostgreSQL executes the
 * sections that `flush.ts` counts (`starts`, `changes`, `startsByRuns`, `steps`, `streamChunks`) in
 * the order of these counts.
 */
export const SECTIONS: readonly Section[] = [
  starts('generated'),
  starts('given'),
  startsByRuns('generated'),
  startsByRuns('given'),
  sharedStarts,
  batchMembers,
  sharedTags,
  tagsOf('tags', 'starts'),
  tagsOf('memberTags', 'batch_members'),
  tagsOf('childTags', 'starts_by_runs'),
  {
    key: 'changes',
    // The conditions let the planner find the runs only by the primary key, whatever the statistics
    // say. The planner cannot use = ANY (ARRAY[..]) in the other direction, to look up x. IS TRUE
    // hides the conditions on the owner. Otherwise the planner could read all running rows by these
    // conditions, and compare each row with each change (105 ms for 500 changes).
    sql: (schema, rows, has) => `
  UPDATE ${schema}.workflow_runs r SET
    status = x.status,
    output = x.output,
    error = x.error,
    error_code = x.error_code,
    failed_step = x.failed_step,
    session_id = NULL,
    wake_at = CASE WHEN x.status <> 'pending' THEN ${fromMs('x.wake_at')} END,
    ready_at = CASE WHEN x.status = 'pending' THEN coalesce(${fromMs('x.wake_at')}, now()) END,
    finished_at = CASE WHEN x.status IN ${TERMINAL} THEN now() END,
    blocked_deployments = CASE WHEN x.blocked_for IS NULL THEN r.blocked_deployments ELSE array_append(r.blocked_deployments, x.blocked_for) END,
    is_blocked = x.blocked_for IS NOT NULL,
    history_bytes = x.history_bytes::bigint,
    continued_as = x.continued_as
  FROM session, ${rows}
  WHERE r.id = ANY (ARRAY[x.id]) AND (r.session_id = session.id AND r.epoch = x.epoch AND r.status = 'running') IS TRUE
    AND (x.wake_count IS NULL OR r.wake_count = x.wake_count)
  RETURNING ${has('runEvents') ? `${eventColumns('r')}, r.is_blocked, r.continued_as, r.error, r.error_code, r.failed_step` : 'r.id'}`,
  },
  steps('steps'),
  steps('undoableSteps'),
  {
    key: 'waits',
    sql: (schema, rows, has) => `
  INSERT INTO ${schema}.workflow_waits AS w (${columnList(WAIT_COLUMNS)})
  SELECT ${valueList(WAIT_COLUMNS, { wake_at: fromMs('x.wake_at'), opened_at: fromMs('x.opened_at') })}
  FROM session CROSS JOIN ${rows} ${owned(schema)}${has('checkedStartsByRuns') ? childIsThere(schema) : ''}
  ON CONFLICT (run_id, step_key) DO UPDATE SET
    kind = excluded.kind, wake_at = excluded.wake_at, attempts = excluded.attempts, opened_at = excluded.opened_at
    WHERE excluded.attempts > w.attempts
  RETURNING 1`,
  },
  {
    key: 'closedWaits',
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_waits w USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE w.run_id = ANY (ARRAY[x.run_id]) AND w.step_key = ANY (ARRAY[x.step_key]) RETURNING 1`,
  },
  {
    key: 'endedRuns',
    // A failed run keeps its unread messages and its waits for running children for a retry.
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_waits w USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE w.run_id = ANY (ARRAY[x.run_id]) AND NOT (x.is_failed AND w.kind = 'child') RETURNING 1`,
    also: (schema, rows) => ({
      obsolete_messages: `
  DELETE FROM ${schema}.workflow_inbox i USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE i.run_id = ANY (ARRAY[x.run_id]) AND NOT (x.is_failed AND i.kind IN ${KEPT_BY_FAILED}) RETURNING 1`,
    }),
  },
  {
    key: 'logEntries',
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_run_log (${columnList(COLUMNS.logEntries)})
  SELECT ${valueList(COLUMNS.logEntries)} FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT DO NOTHING
  RETURNING 1`,
  },
  {
    key: 'states',
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_state (${columnList(STATE_COLUMNS)})
  SELECT ${valueList(STATE_COLUMNS)} FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value, updated_at = now()
  RETURNING 1`,
  },
  {
    key: 'messages',
    // After the commit, a separate statement notifies the receivers. A run may cancel only its own
    // children, because the id that it chose for a child may belong to another run. A run reports
    // its end only to its current parent. The condition for a cancel is NOT EXISTS, because it must
    // also hold for a child that this statement starts. That child's row is not visible to the
    // statement.
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload)
  SELECT x.to_run_id, x.kind, x.name, x.payload FROM session CROSS JOIN ${rows} ${owned(schema)}
  WHERE CASE WHEN x.kind = 'cancel'
    THEN NOT EXISTS (SELECT 1 FROM ${schema}.workflow_runs c WHERE c.id = x.to_run_id AND c.parent_run_id IS DISTINCT FROM x.run_id)
    ELSE own.parent_run_id = x.to_run_id END
  RETURNING run_id, kind, payload`,
    also: (schema) => ({
      logged_cancels: `
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data)
  SELECT run_id, 'cancel_requested', payload FROM messages WHERE kind = 'cancel' RETURNING 1`,
    }),
  },
  {
    key: 'continuedRuns',
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_waits w USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE w.run_id = ANY (ARRAY[x.run_id]) RETURNING 1`,
    also: (schema, rows) => ({
      moved_messages: `
  UPDATE ${schema}.workflow_inbox i SET run_id = x.to_run_id FROM session CROSS JOIN ${rows} ${owned(schema)}
  WHERE i.run_id = ANY (ARRAY[x.run_id]) AND i.kind IN ${MOVES_ON} RETURNING 1`,
    }),
  },
  {
    key: 'droppedPayloads',
    // Anybody with a hook's URL can send any number of payloads that the workflow does not accept.
    // The history shows only the first of these payloads. For each further one, the log entry of
    // its delivery is deleted too, because otherwise the log would grow without bound. The entry is
    // found by its time: one statement wrote the message and the entry, so both have the same time.
    // If several deliveries arrived in the same microsecond, the entries of all of them are
    // deleted.
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_run_log (run_id, epoch, kind, step_key, data)
  SELECT x.run_id, x.epoch, 'payload_dropped', x.step_key, x.data FROM session CROSS JOIN ${rows} ${owned(schema)}
  WHERE ${isDropShown(schema)}
  RETURNING 1`,
    also: (schema, rows) => ({
      hidden_deliveries: `
  DELETE FROM ${schema}.workflow_run_log e USING (
    SELECT delivery.run_id, delivery.id FROM session CROSS JOIN ${rows} ${owned(schema)}
    CROSS JOIN LATERAL (SELECT created_at FROM ${schema}.workflow_inbox WHERE run_id = x.run_id AND id = x.id LIMIT 1) AS message
    CROSS JOIN LATERAL (
      SELECT run_id, id FROM ${schema}.workflow_run_log
      WHERE run_id = x.run_id AND kind = 'hook_resumed' AND at = message.created_at ORDER BY id DESC LIMIT 100
    ) AS delivery
    WHERE NOT ${isDropShown(schema)}
  ) AS old WHERE e.run_id = ANY (ARRAY[old.run_id]) AND e.id = ANY (ARRAY[old.id]) RETURNING 1`,
    }),
  },
  {
    key: 'takenMessages',
    // A message stays if the worker that took it no longer owns the run. The current owner then
    // takes it. This section must follow continuedRuns: PostgreSQL executes sections without a
    // count from the last to the first. So taken messages are deleted first, and only the remaining
    // messages move to the continuation (journal-continued.spec.ts proves it).
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_inbox i USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE i.run_id = ANY (ARRAY[x.run_id]) AND i.id = ANY (ARRAY[x.id]) RETURNING 1`,
  },
  runEvents,
  stepEvents,
  streamChunks,
  emitted,
  eventWaits,
  receivedEvents,
  continuedReceivers,
];
