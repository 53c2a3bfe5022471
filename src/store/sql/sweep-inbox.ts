import { WorkflowCancelledError } from '../../core/errors/index.js';
import type { RunStatus } from '../../core/run.js';
import type { NotifiedRun } from '../../core/run-notices.js';
import { encodeError } from '../../core/serializer/index.js';
import { childAddressSql, eventAddressSql } from '../../core/step-key-format.js';
import { faultOf } from '../database-errors.js';
import type { Database, Statement } from '../database.js';
import { changeMany, manyRuns } from '../many-runs.js';
import { notifyOfCancel } from './cancel-run.js';
import { hasEventWorkSql } from './dispatch-events.js';
import { CHILD_ENDS, KEPT_BY_FAILED, LIMITED, MOVES_ON } from './message-kinds.js';
import { forwardMessages } from './send-signal.js';
import { hasSharedWorkSql } from './start-requests.js';
import { IS_CANCELLABLE, IS_WAKEABLE, TERMINAL } from './run-status.js';

/**
 * Condition for a message that was inserted more than 5 seconds ago. By then, its sender has
 * notified the run, unless the notification was lost.
 */
const OVERDUE = `created_at < now() - interval '5 seconds'`;

/**
 * Builds the beginning of a statement: a common table expression `addressed` with the runs that
 * have messages. Each run costs one index lookup, however many messages wait for it.
 */
function addressed(schema: string): string {
  const next = (condition: string): string => `(SELECT i.run_id FROM ${schema}.workflow_inbox i ${condition} ORDER BY i.run_id LIMIT 1)`;
  return `WITH RECURSIVE found AS (
  SELECT ${next('')} AS run_id
  UNION ALL SELECT ${next('WHERE i.run_id > found.run_id')} FROM found WHERE found.run_id IS NOT NULL
), addressed AS MATERIALIZED (
  SELECT run_id FROM found WHERE run_id IS NOT NULL
)`;
}

/**
 * Condition for started runs on which the request to cancel in their inbox has had no effect yet.
 */
const MISSED_CANCEL = `started_at IS NOT NULL AND (status = 'running' OR ${IS_CANCELLABLE} OR (status IN ('pending', 'waiting', 'paused') AND cancel_requested_at IS NULL))`;

/**
 * Notifies runs of requests to cancel, if the runs have been executed before. The worker of a
 * running run sees the raised wake counter, and a waiting run becomes due. Due and blocked runs
 * need no notification, because every claim reads the inbox. For these runs, only the time of the
 * request is recorded, once.
 */
const NOTIFY_CANCELLED = manyRuns('durable_sweep_inbox', {
  select: (schema, narrow) => `WITH missed AS MATERIALIZED (
  SELECT DISTINCT i.run_id AS id FROM ${schema}.workflow_inbox i
  CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.workflow_runs WHERE id = i.run_id AND ${MISSED_CANCEL}${narrow} LIMIT 1) AS r
  WHERE i.kind NOT IN ${LIMITED} AND i.kind = 'cancel' AND i.${OVERDUE}
  ORDER BY i.run_id LIMIT 1000
), locked AS MATERIALIZED (
  SELECT r.id FROM missed CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = missed.id AND ${MISSED_CANCEL} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
)`,
  change: (
    schema,
    lockTimeout,
  ) => `UPDATE ${schema}.workflow_runs r SET wake_count = wake_count + 1, cancel_requested_at = coalesce(cancel_requested_at, now()),
  status = CASE WHEN ${IS_CANCELLABLE} THEN 'pending' WHEN status = 'paused' THEN 'waiting' ELSE status END,
  ready_at = CASE WHEN ${IS_CANCELLABLE} THEN now() ELSE ready_at END,
  wake_at = CASE WHEN ${IS_CANCELLABLE} THEN NULL ELSE wake_at END
FROM locked WHERE r.id = ANY (ARRAY[locked.id])${lockTimeout}
RETURNING r.id, r.status, r.queue, r.name, r.version`,
  selected: 'SELECT id FROM locked',
  parameter: 1,
});

/**
 * Finds runs that no worker has executed and that have a request to cancel. They have nothing to
 * clean up, so they are cancelled without being executed.
 */
const UNSTARTED: Statement = {
  name: 'durable_sweep_unstarted',
  text: (schema) => `SELECT DISTINCT ON (i.run_id) i.run_id, i.payload::text FROM ${schema}.workflow_inbox i
CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.workflow_runs WHERE id = i.run_id AND started_at IS NULL AND status IN ('pending', 'waiting', 'paused') LIMIT 1) AS r
WHERE i.kind NOT IN ${LIMITED} AND i.kind = 'cancel' AND i.${OVERDUE} ORDER BY i.run_id, i.id LIMIT 1000`,
};

/**
 * SQL for the name of the message with which a child reports its end to the waiting step. After a
 * retry of the parent, the name contains the generation that started the child. The wait's
 * `attempts` holds this generation.
 */
const CHILD_ADDRESS = childAddressSql('w.step_key', 'w.attempts');

/** SQL for the name of the message with which a wait receives its event. */
const EVENT_ADDRESS = eventAddressSql('w.event_seq', 'w.step_key');

/** Condition for runs that take messages from their inbox when they are notified. */
const MISSED_MESSAGE = `(status = 'running' OR ${IS_WAKEABLE}) AND cancel_requested_at IS NULL AND (deadline_at IS NULL OR deadline_at > now())`;

/**
 * Notifies runs that wait for a message which is already in the inbox, because the notification was
 * lost. Ignores messages that no wait needs: they stay in the inbox, and every claim reads them.
 * Leaves out cancelled runs and runs past their deadline. Their waits have ended, but the rows of
 * the waits stay until the run ends. So these runs would be notified again and again.
 */
const NOTIFY_WAITING = manyRuns('durable_sweep_messages', {
  select: (schema, narrow) => `${addressed(schema)}, missed AS MATERIALIZED (
  SELECT a.run_id AS id FROM addressed a
  CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.workflow_runs WHERE id = a.run_id AND ${MISSED_MESSAGE}${narrow} LIMIT 1) AS r
  CROSS JOIN LATERAL (
    SELECT 1 FROM (SELECT * FROM ${schema}.workflow_waits WHERE run_id = a.run_id OFFSET 0) AS w CROSS JOIN LATERAL (
      SELECT 1 FROM (SELECT * FROM ${schema}.workflow_inbox WHERE run_id = a.run_id ORDER BY id) AS i
      WHERE i.kind <> 'cancel' AND i.${OVERDUE}
        AND ((w.kind = i.kind AND w.name = i.name) OR (w.kind = 'child' AND i.kind IN ${CHILD_ENDS} AND ${CHILD_ADDRESS} = i.name)
          OR (w.kind = 'event' AND i.kind = 'event' AND ${EVENT_ADDRESS} = i.name)) LIMIT 1
    ) AS i LIMIT 1
  ) AS w
  LIMIT 1000
), locked AS MATERIALIZED (
  SELECT r.id FROM missed CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = missed.id AND ${MISSED_MESSAGE} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
)`,
  change: (schema, lockTimeout) => `UPDATE ${schema}.workflow_runs r SET wake_count = wake_count + 1,
  status = CASE WHEN ${IS_WAKEABLE} THEN 'pending' ELSE status END,
  ready_at = CASE WHEN ${IS_WAKEABLE} THEN now() ELSE ready_at END,
  wake_at = CASE WHEN ${IS_WAKEABLE} THEN NULL ELSE wake_at END
FROM locked WHERE r.id = ANY (ARRAY[locked.id])${lockTimeout}
RETURNING r.id, r.status, r.queue, r.name, r.version`,
  selected: 'SELECT id FROM locked',
  parameter: 1,
});

/**
 * Finds continued runs that have messages which arrived too late to move to the continuation. A row
 * without an id shows other work, so that a feature which nobody uses costs no statement.
 */
const LEFT_BEHIND: Statement = {
  name: 'durable_sweep_left_behind',
  text: (schema) => `${addressed(schema)}
(SELECT a.run_id, NULL::text AS work FROM addressed a
CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.workflow_runs WHERE id = a.run_id AND continued_as IS NOT NULL LIMIT 1) AS r
CROSS JOIN LATERAL (
  SELECT 1 FROM (SELECT * FROM ${schema}.workflow_inbox WHERE run_id = a.run_id ORDER BY id) AS i WHERE i.kind IN ${MOVES_ON} AND i.${OVERDUE} LIMIT 1
) AS i
LIMIT 1000)
UNION ALL SELECT NULL, 'events' WHERE ${hasEventWorkSql(schema, '$1')}
UNION ALL SELECT NULL, 'shared starts' WHERE ${hasSharedWorkSql(schema)}`,
};

const CLEAR_OBSOLETE: Statement = {
  name: 'durable_sweep_obsolete',
  // A deleted run may still get messages, for example from its children, which stay.
  // A failed run keeps its signals and hook payloads, which may be many. They are not read here:
  // for failed runs, PostgreSQL uses an index that contains only the other kinds of messages.
  text: (schema, lockTimeout) => {
    const messages = (condition: string): string => `(
    SELECT * FROM (
      SELECT run_id, id FROM ${schema}.workflow_inbox WHERE run_id = a.run_id AND ${OVERDUE} AND ${condition} ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
    ) AS i
  )`;
    return `${addressed(schema)}, obsolete AS MATERIALIZED (
  SELECT i.run_id, i.id FROM addressed a
  CROSS JOIN LATERAL (
    SELECT r.status, r.continued_as FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
      SELECT status, continued_as FROM ${schema}.workflow_runs WHERE id = a.run_id LIMIT 1
    ) AS r ON true WHERE r.status IS NULL OR r.status IN ${TERMINAL}
  ) AS r
  CROSS JOIN LATERAL (
    ${messages(`r.status IS DISTINCT FROM 'failed' AND (r.continued_as IS NULL OR kind NOT IN ${MOVES_ON})`)}
    UNION ALL
    ${messages(`r.status = 'failed' AND kind NOT IN ${LIMITED} AND kind NOT IN ${KEPT_BY_FAILED}`)}
  ) AS i
  LIMIT 1000
)
DELETE FROM ${schema}.workflow_inbox i USING obsolete o WHERE i.run_id = ANY (ARRAY[o.run_id]) AND i.id = ANY (ARRAY[o.id])${lockTimeout}`;
  },
};

/**
 * `events`: events wait to be dispatched, or waits for events were not looked at. `shared starts`:
 * starts with `debounce` or `throttle` wait for their decision, or keys no longer count.
 */
export type SweptWork = 'events' | 'shared starts';

/** Result of a sweep. */
export interface InboxSwept {
  /** Runs that have been notified, or cancelled without having been executed. */
  readonly notified: readonly NotifiedRun[];
  /** Ids of runs that received messages in this sweep. The caller must notify them. */
  readonly others: readonly string[];
  /** Other work that the sweep has found. */
  readonly work: ReadonlySet<SweptWork>;
}

/**
 * Notifies runs of messages whose notification was lost. A sender inserts a message and notifies
 * the run in two statements. A crash or a cut connection may prevent the notification. Also deletes
 * messages to runs that have ended or were deleted.
 *
 * @param eventRetentionMs milliseconds for which events are kept
 */
export async function sweepInbox(database: Database, eventRetentionMs: number): Promise<InboxSwept> {
  const notified = new Map<string, NotifiedRun>();
  for (const statement of [NOTIFY_CANCELLED, NOTIFY_WAITING]) {
    const { rows } = await changeMany<[string, RunStatus, string, string, number]>(database, statement, [], ([id]) => id);
    for (const [id, status, queue, name, version] of rows) notified.set(id, { id, status, queue, name, version });
  }
  const requests = (await database.query<[string, string | null]>(UNSTARTED, [])).map(([runId, payload]) => {
    const { reason } = JSON.parse(payload ?? '{}') as { reason?: string };
    return { runId, error: encodeError(new WorkflowCancelledError(runId, reason)), parentId: null };
  });
  const cancelled = requests.length > 0 ? await notifyOfCancel(database, requests) : [];
  for (const run of cancelled) notified.set(run.id, run);
  const others = cancelled.flatMap(({ parentId }) => parentId ?? []);
  const work = new Set<SweptWork>();
  type Found = [runId: string, work: null] | [runId: null, work: SweptWork];
  for (const [runId, found] of await database.query<Found>(LEFT_BEHIND, [eventRetentionMs])) {
    if (runId === null) {
      work.add(found);
      continue;
    }
    const successor = await forwardMessages(database, runId).catch(laterIfLocked);
    if (successor !== undefined) others.push(successor);
  }
  await database.query(CLEAR_OBSOLETE, []);
  return { notified: [...notified.values()], others, work };
}

/**
 * Ignores the error of a locked row, because the next sweep tries the run again. Throws any other
 * error.
 */
function laterIfLocked(error: unknown): undefined {
  if (!['locked', 'cancelled'].includes(faultOf(error))) throw error;
}
