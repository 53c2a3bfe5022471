import type { Database, Statement } from '../database.js';
import { SERVER } from './server-identity.js';
import type { SessionFence } from '../session-fence.js';

const CREATE: Statement = {
  name: 'durable_create_hook',
  text: (schema) => `WITH session AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $2::text FOR KEY SHARE
), own AS (
  SELECT r.id FROM session CROSS JOIN LATERAL (
    SELECT id FROM ${schema}.workflow_runs WHERE id = $3 AND session_id = session.id AND epoch = $4::int LIMIT 1
  ) AS r
)
INSERT INTO ${schema}.workflow_hooks (token, run_id, step_key, headers, verify)
SELECT $6, own.id, $5, $7::text[], $8 FROM own
ON CONFLICT DO NOTHING`,
};

const FIND: Statement = {
  name: 'durable_find_hook',
  text: (schema) => `SELECT token, run_id FROM ${schema}.workflow_hooks WHERE run_id = $1 AND step_key = $2
UNION ALL SELECT token, run_id FROM ${schema}.workflow_hooks WHERE token = $3 LIMIT 1`,
};

/** A hook of a run that this process executes. */
export interface HookToCreate {
  readonly runId: string;
  readonly epoch: number;
  readonly stepKey: string;
  readonly token: string;
  readonly headers: readonly string[];
  readonly verify: string | null;
}

/**
 * Creates a hook, unless the step has made one before: a crash between this and the record of the step must not leave two.
 *
 * @returns the step's token; with the run that has it when that is another; undefined when the run is not the session's
 */
export async function createHook(
  database: Database,
  fence: SessionFence,
  hook: HookToCreate,
): Promise<{ token: string; owner?: string } | undefined> {
  const { runId, epoch, stepKey, token, headers, verify } = hook;
  await database.query(CREATE, [fence.id, fence.server, runId, epoch, stepKey, token, headers, verify]);
  const [found] = await database.query<[string, string]>(FIND, [runId, stepKey, token]);
  if (!found) return undefined;
  return found[1] === runId ? { token: found[0] } : { token: found[0], owner: found[1] };
}

const RESUME: Statement = {
  name: 'durable_resume_hook',
  text: (schema) => `WITH hook AS (
  SELECT h.token, h.run_id, h.closed_at IS NOT NULL OR r.status IN ('completed', 'failed', 'cancelled') AS closed
  FROM ${schema}.workflow_hooks h JOIN ${schema}.workflow_runs r ON r.id = h.run_id WHERE h.token = $1
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload) SELECT run_id, 'hook', token, $2::json FROM hook WHERE NOT closed RETURNING 1
), noted AS (
  INSERT INTO ${schema}.workflow_events (run_id, kind, name) SELECT run_id, 'hook_resumed', left(token, 8) FROM hook WHERE NOT closed
)
SELECT run_id, closed FROM hook`,
};

/** Leaves a payload for whoever waits for the hook. Undefined when no hook has that token. */
export async function resumeHook(
  database: Database,
  token: string,
  payload: string,
): Promise<{ readonly runId: string; readonly isClosed: boolean } | undefined> {
  const [row] = await database.query<[string, boolean]>(RESUME, [token, payload]);
  return row && { runId: row[0], isClosed: row[1] };
}

const DESCRIBE: Statement = {
  name: 'durable_describe_hook',
  text: (
    schema,
  ) => `SELECT h.run_id, r.name, r.version, h.headers, h.verify, h.closed_at IS NOT NULL OR r.status IN ('completed', 'failed', 'cancelled')
FROM ${schema}.workflow_hooks h JOIN ${schema}.workflow_runs r ON r.id = h.run_id WHERE h.token = $1`,
};

/** What must be known of a hook before a request to it is accepted. */
export interface HookDescription {
  readonly runId: string;
  readonly workflow: string;
  readonly version: number;
  /** The request headers that the workflow wants to see. */
  readonly headers: readonly string[];
  /** Who checks requests. */
  readonly verify: string | null;
  readonly isClosed: boolean;
}

export async function describeHook(database: Database, token: string): Promise<HookDescription | undefined> {
  const [row] = await database.query<[string, string, number, string[], string | null, boolean]>(DESCRIBE, [token]);
  if (!row) return undefined;
  const [runId, workflow, version, headers, verify, isClosed] = row;
  return { runId, workflow, version, headers, verify, isClosed };
}
