import { WorkflowCancelledError } from '../../core/errors/index.js';
import { encodeError } from '../../core/serializer/index.js';
import { faultOf } from '../database-errors.js';
import type { Database, Statement } from '../database.js';
import { IS_BLOCKED, tellOfCancel } from './inbox.js';

/** By then the sender has told the run, if it ever does. */
const OVERDUE = `created_at < now() - interval '5 seconds'`;

const IS_DUE = `(status = 'paused' OR status = 'waiting' AND NOT ${IS_BLOCKED})`;

/**
 * Runs that have been executed: one that is running is told by its counter, one that waits becomes due. Whoever claims a run reads its inbox, so one that is due
 * already, or that waits for another deployment, hears of it in any case: it is noted once that it is to be cancelled, and then the run is left alone.
 */
const TELL: Statement = {
  name: 'durable_sweep_inbox',
  text: (schema, patience) => {
    const isUnheard = `started_at IS NOT NULL AND (status = 'running' OR ${IS_DUE} OR (status IN ('pending', 'waiting') AND cancel_requested_at IS NULL))`;
    return `WITH unheard AS MATERIALIZED (
  SELECT DISTINCT i.run_id AS id FROM ${schema}.workflow_inbox i
  CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.workflow_runs WHERE id = i.run_id AND ${isUnheard} LIMIT 1) AS r
  WHERE i.kind = 'cancel' AND i.${OVERDUE}
  ORDER BY i.run_id LIMIT 1000
), locked AS MATERIALIZED (
  SELECT r.id FROM unheard CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = unheard.id AND ${isUnheard} LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS r
)
UPDATE ${schema}.workflow_runs r SET wake_count = wake_count + 1, cancel_requested_at = coalesce(cancel_requested_at, now()),
  status = CASE WHEN ${IS_DUE} THEN 'pending' ELSE status END,
  ready_at = CASE WHEN ${IS_DUE} THEN now() ELSE ready_at END,
  wake_at = CASE WHEN ${IS_DUE} THEN NULL ELSE wake_at END
FROM locked WHERE r.id = ANY (ARRAY[locked.id])${patience}
RETURNING r.id`;
  },
};

/** Runs that nobody has executed: they have nothing to clean up, and must not be executed first. */
const UNSTARTED: Statement = {
  name: 'durable_sweep_unstarted',
  text: (schema) => `SELECT DISTINCT ON (i.run_id) i.run_id, i.payload::text FROM ${schema}.workflow_inbox i
CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.workflow_runs WHERE id = i.run_id AND started_at IS NULL AND status IN ('pending', 'waiting', 'paused') LIMIT 1) AS r
WHERE i.kind = 'cancel' AND i.${OVERDUE} ORDER BY i.run_id, i.id LIMIT 1000`,
};

const CLEAR_OBSOLETE: Statement = {
  name: 'durable_sweep_obsolete',
  text: (schema, patience) => `WITH obsolete AS MATERIALIZED (
  SELECT i.run_id, i.id FROM ${schema}.workflow_inbox i
  WHERE i.${OVERDUE}
    AND (SELECT r.status FROM ${schema}.workflow_runs r WHERE r.id = i.run_id AND NOT (r.status = 'failed' AND i.kind IN ('signal', 'hook')))
      IN ('completed', 'failed', 'cancelled')
  ORDER BY i.run_id, i.id LIMIT 1000 FOR UPDATE OF i SKIP LOCKED
)
DELETE FROM ${schema}.workflow_inbox i USING obsolete o WHERE i.run_id = ANY (ARRAY[o.run_id]) AND i.id = ANY (ARRAY[o.id])${patience}`,
};

/** What a sweep has done. */
export interface InboxSwept {
  /** Runs that have something to hear. */
  readonly told: readonly string[];
  /** Runs that it has cancelled. */
  readonly cancelled: readonly string[];
}

/**
 * Sender and run are told of a message in two statements; when the second was lost (a crash, a cut connection), this finds the message. Also clears
 * away what was sent to runs that have ended since.
 */
export async function sweepInbox(database: Database): Promise<InboxSwept> {
  const told = (await database.query<[string]>(TELL, [])).map(([id]) => id);
  const cancelled: string[] = [];
  for (const [runId, payload] of await database.query<[string, string | null]>(UNSTARTED, [])) {
    const { reason } = JSON.parse(payload ?? '{}') as { reason?: string };
    const found = await tellOfCancel(database, runId, encodeError(new WorkflowCancelledError(runId, reason))).catch(laterIfLocked);
    if (found) (found.status === 'cancelled' ? cancelled : told).push(runId);
  }
  await database.query(CLEAR_OBSOLETE, []);
  return { told, cancelled };
}

/** What somebody holds at this moment the next sweep finds again. */
function laterIfLocked(error: unknown): undefined {
  if (faultOf(error) !== 'locked') throw error;
}
