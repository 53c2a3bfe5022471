import type { Database, Statement } from '../database.js';
import { currentRunSql, pastSql } from './chains.js';
import { depthSql } from './inbox-depth.js';
import { SERVER } from './server-identity.js';
import type { SessionFence } from '../session-fence.js';
import { TERMINAL } from './run-status.js';

/** Builds SQL that locks the row of the session, and selects the run if this session owns it. */
function ownRun(schema: string): string {
  return `session AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $2::text FOR KEY SHARE
), own AS (
  SELECT r.id FROM session CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = $3 AND session_id = session.id AND epoch = $4::int LIMIT 1
  ) AS r
)`;
}

/** Condition for a run that has ended. */
const HAS_ENDED = `status IN ${TERMINAL}`;

/**
 * Builds SQL that selects the run that receives a hook's payloads. It is the run that created the
 * hook, or the last run that continues it.
 */
function lastOf(schema: string, runId: string): string {
  return `(SELECT id, ${HAS_ENDED} AS has_ended FROM ${currentRunSql(schema, runId, 'id, status')} AS current)`;
}

const CREATE: Statement = {
  name: 'durable_create_hook',
  text: (schema) => `WITH ${ownRun(schema)}
INSERT INTO ${schema}.workflow_hooks (token, run_id, step_key, headers, verify, idempotency_header)
SELECT $6, own.id, $5, $7::text[], $8, $9 FROM own
ON CONFLICT DO NOTHING`,
};

const FIND: Statement = {
  name: 'durable_find_hook',
  text: (schema) => `SELECT token, run_id FROM ${schema}.workflow_hooks WHERE run_id = $1 AND step_key = $2
UNION ALL SELECT token, run_id FROM ${schema}.workflow_hooks WHERE token = $3 LIMIT 1`,
};

/**
 * Gives a hook's token to another run when the hook is closed or its run has ended. For example, a
 * new run for the same order uses the same token again. A continuation also takes the token of the
 * run that it continues.
 */
const TAKE_OVER: Statement = {
  name: 'durable_take_over_hook',
  text: (schema, lockTimeout) => `WITH ${ownRun(schema)}
UPDATE ${schema}.workflow_hooks h
SET run_id = own.id, step_key = $5, headers = $7::text[], verify = $8, idempotency_header = $9, created_at = now(), closed_at = NULL
FROM own WHERE h.token = $6
  AND (h.closed_at IS NOT NULL OR (SELECT last.has_ended OR last.id = own.id FROM ${lastOf(schema, 'h.run_id')} AS last) IS NOT FALSE)${lockTimeout}
RETURNING h.token`,
};

/** Properties of a new hook, whose run this process executes. */
export interface HookToCreate {
  readonly runId: string;
  readonly epoch: number;
  readonly stepKey: string;
  readonly token: string;
  readonly headers: readonly string[];
  readonly verify: string | null;
  readonly idempotencyHeader: string | null;
}

/**
 * Creates a hook, unless the step has created one before. A crash may interrupt the step before it
 * is recorded. When the step is executed again, it must get the same hook.
 *
 * @returns the hook's token, and `owner` when another run has the token: the id of that run.
 * Undefined when the session does not own the run.
 */
export async function createHook(
  database: Database,
  fence: SessionFence,
  hook: HookToCreate,
): Promise<{ token: string; owner?: string } | undefined> {
  const { runId, epoch, stepKey, token, headers, verify, idempotencyHeader } = hook;
  const values = [fence.id, fence.server, runId, epoch, stepKey, token, headers, verify, idempotencyHeader];
  await database.query(CREATE, values);
  const [found] = await database.query<[string, string]>(FIND, [runId, stepKey, token]);
  if (!found) return undefined;
  if (found[1] === runId) return { token: found[0] };
  const [taken] = await database.query<[string]>(TAKE_OVER, values);
  return taken ? { token: taken[0] } : { token: found[0], owner: found[1] };
}

/**
 * Records a delivery as an event in the run log, and inserts its payload into the inbox. A delivery
 * id can have only one event, and the payload is inserted only together with the event. So a
 * repeated delivery has no effect.
 */
const RESUME: Statement = {
  name: 'durable_resume_hook',
  text: (schema) => `WITH RECURSIVE hook AS MATERIALIZED (
  SELECT h.token, last.id AS run_id, h.step_key, h.closed_at IS NOT NULL OR last.has_ended AS closed
  FROM ${schema}.workflow_hooks h CROSS JOIN LATERAL ${lastOf(schema, 'h.run_id')} AS last WHERE h.token = $1
), named AS MATERIALIZED (
  SELECT run_id AS id FROM hook
), ${depthSql(schema, 'named', '$5', '$2')}, ${pastSql(schema, '(SELECT run_id FROM hook WHERE $3::text IS NOT NULL)')}, logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, step_key, name, idempotency_key, data)
  SELECT run_id, 'hook_resumed', step_key, step_key, $3, $4::json FROM hook WHERE NOT closed AND NOT (SELECT is_full FROM depth) AND NOT EXISTS (
    SELECT 1 FROM past CROSS JOIN LATERAL (
      SELECT 1 FROM ${schema}.workflow_run_log e
      WHERE e.run_id = past.id AND e.kind = 'hook_resumed' AND e.name = hook.step_key AND e.idempotency_key = $3 LIMIT 1
    ) AS e WHERE past.depth > 1)
  ON CONFLICT (run_id, kind, name, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
  RETURNING run_id
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload, place, total, trace_context)
  SELECT hook.run_id, 'hook', hook.token, $2::json, depth.place, depth.total, $6::text FROM hook JOIN logged ON logged.run_id = hook.run_id, depth RETURNING 1
)
SELECT run_id, step_key, closed, (SELECT count(*) FROM sent)::int, (SELECT is_full FROM depth) FROM hook`,
};

const DELIVERED: Statement = {
  name: 'durable_hook_delivered',
  text: (schema) => `WITH RECURSIVE ${pastSql(schema, '$1')}
SELECT (e.data -> 'digest')::text FROM past CROSS JOIN LATERAL (
  SELECT data FROM ${schema}.workflow_run_log WHERE run_id = past.id AND kind = 'hook_resumed' AND name = $2 AND idempotency_key = $3 LIMIT 1
) AS e LIMIT 1`,
};

/** Identifies a delivery: the id that the sender gave it, and a digest of its body as JSON text. */
export interface HookDelivery {
  readonly id: string;
  readonly digest: string;
}

/** Outcome of sending a payload to a hook. */
export interface HookResumed {
  readonly runId: string;
  /**
   * `known` means that a delivery with this id arrived before. `full` means that too many messages
   * already wait for the run.
   */
  readonly outcome: 'accepted' | 'closed' | 'known' | 'full';
  /** JSON text of the digest of the earlier delivery with this id, for the outcome `known`. */
  readonly digest?: string | undefined;
}

/**
 * Inserts a payload into the inbox of the run that waits for the hook, once per delivery. Undefined
 * when no hook has the token.
 */
export async function resumeHook(
  database: Database,
  token: string,
  payload: string,
  delivery: HookDelivery | null,
  traceContext: string | null = null,
): Promise<HookResumed | undefined> {
  const data = delivery && `{"digest":${delivery.digest}}`;
  const weight = database.inboxSampling.weightOf(token, payload.length);
  const values = [token, payload, delivery?.id ?? null, data, weight, traceContext];
  const [row] = await database.deliver<[string, string, boolean, number, boolean]>(RESUME, values);
  if (!row) return undefined;
  const [runId, stepKey, isClosed, sent, isFull] = row;
  if (isClosed) return { runId, outcome: 'closed' };
  if (weight > 0) database.inboxSampling.found(token, isFull ? 'full' : 'hasRoom');
  if (isFull) return { runId, outcome: 'full' };
  if (sent > 0 || !delivery) return { runId, outcome: 'accepted' };
  const [before] = await database.deliver<[string]>(DELIVERED, [runId, stepKey, delivery.id]);
  return { runId, outcome: 'known', digest: before?.[0] };
}

const DESCRIBE: Statement = {
  name: 'durable_describe_hook',
  text: (schema) => `SELECT last.id, h.headers, h.verify, h.idempotency_header, h.closed_at IS NOT NULL OR last.has_ended
FROM ${schema}.workflow_hooks h CROSS JOIN LATERAL ${lastOf(schema, 'h.run_id')} AS last WHERE h.token = $1`,
};

/** Properties of a hook that are needed to check a request before it is accepted. */
export interface HookDescription {
  readonly token: string;
  readonly runId: string;
  /** Names of the request headers that the workflow receives. */
  readonly headers: readonly string[];
  /** Name of the verifier that checks requests. */
  readonly verify: string | null;
  /** Name of the request header that contains the id of a delivery. */
  readonly idempotencyHeader: string | null;
  readonly isClosed: boolean;
}

export async function describeHook(database: Database, token: string): Promise<HookDescription | undefined> {
  const [row] = await database.deliver<[string, string[], string | null, string | null, boolean]>(DESCRIBE, [token]);
  if (!row) return undefined;
  const [runId, headers, verify, idempotencyHeader, isClosed] = row;
  return { token, runId, headers, verify, idempotencyHeader, isClosed };
}
