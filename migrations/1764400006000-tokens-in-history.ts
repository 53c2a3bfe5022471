import { migration } from './migration.js';

/** Condition for the key of a step that makes a hook: `hook` or `hook#2`. */
const isHook = (row: string): string => `${row}.step_key LIKE 'hook%' AND ${row}.step_key ~ '^hook(#[0-9]+)?$'`;

/** Parts in which the two forms of the view differ. */
interface ViewParts {
  /** Condition for steps whose output the view does not show. */
  readonly hidden: string;
  /** Expression for the data of an entry of the run log. */
  readonly data: string;
  /** Further names of recorded steps, as branches of a CASE. */
  readonly kinds: string;
}

const viewSql = (schema: string, { hidden, data, kinds }: ViewParts): string => `
CREATE OR REPLACE VIEW ${schema}.workflow_history AS
SELECT r.id AS run_id, date_trunc('milliseconds', r.created_at) AS at, 0 AS rank, 0::bigint AS number, 'run_created' AS kind, NULL::text AS step_key,
  coalesce(r.continued_from, r.forked_from, r.parent_run_id) AS name, NULL::integer AS attempt, NULL::integer AS epoch, NULL::timestamptz AS started_at,
  NULL::json AS output, NULL::json AS error,
  json_build_object('workflow', r.name, 'version', r.version, 'queue', r.queue, 'parentRunId', r.parent_run_id, 'continuedFrom', r.continued_from,
    'forkedFrom', r.forked_from) AS data
FROM ${schema}.workflow_runs r
UNION ALL
SELECT r.id, date_trunc('milliseconds', r.started_at), 1, 0, 'run_started', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM ${schema}.workflow_runs r WHERE r.started_at IS NOT NULL
UNION ALL
SELECT e.run_id, date_trunc('milliseconds', e.at), 3, e.id, e.kind, e.step_key, e.name, e.attempt, e.epoch, NULL, NULL,
  CASE WHEN e.kind IN ('attempt_failed', 'blocked', 'run_failed') THEN e.data END,
  CASE WHEN e.kind NOT IN ('attempt_failed', 'blocked', 'run_failed') THEN ${data} END
FROM ${schema}.workflow_run_log e
UNION ALL
SELECT s.run_id, max(s.finished_at) OVER (PARTITION BY s.run_id ORDER BY s.seq), 4, s.seq,
  CASE WHEN h.token IS NOT NULL THEN 'hook_created' WHEN s.kind = 'cancel' THEN 'cancellation_delivered'
    WHEN s.kind = 'patch' THEN 'patched'${kinds} ELSE s.kind || '_' || s.status END,
  s.step_key, left(h.token, 8), s.attempts, s.epoch, s.started_at, CASE WHEN NOT (${hidden}) THEN s.output END, s.error, NULL
FROM ${schema}.workflow_steps s
LEFT JOIN LATERAL (
  SELECT token FROM ${schema}.workflow_hooks WHERE s.kind = 'step' AND s.step_key LIKE 'hook%' AND run_id = s.run_id AND step_key = s.step_key LIMIT 1
) AS h ON true
UNION ALL
SELECT c.parent_run_id, date_trunc('milliseconds', c.created_at), 5,
  row_number() OVER (PARTITION BY c.parent_run_id ORDER BY c.created_at, c.id), 'child_started', c.parent_step_key, c.id, NULL, NULL, NULL, NULL, NULL,
  json_build_object('workflow', c.name, 'version', c.version)
FROM ${schema}.workflow_runs c WHERE c.parent_run_id IS NOT NULL AND c.continued_from IS NULL
UNION ALL
SELECT w.run_id, w.opened_at, 6, hashtextextended(w.step_key, 0), 'wait_open', w.step_key,
  CASE WHEN w.kind = 'hook' THEN left(w.name, 8) ELSE w.name END, w.attempts, NULL, w.opened_at, NULL,
  NULL, json_build_object('wait', w.kind, 'wakeAt', extract(epoch FROM w.wake_at)::float8 * 1000)
FROM ${schema}.workflow_waits w
UNION ALL
SELECT r.id,
  greatest(date_trunc('milliseconds', r.finished_at), (SELECT max(s.finished_at) FROM ${schema}.workflow_steps s WHERE s.run_id = r.id)),
  9, 0, CASE WHEN r.continued_as IS NULL THEN 'run_' || r.status ELSE 'continued_as_new' END, NULL, r.continued_as, NULL, r.epoch, NULL,
  r.output, r.error, NULL
FROM ${schema}.workflow_runs r WHERE r.finished_at IS NOT NULL;
`;

/**
 * Hides the tokens of hooks from the view `workflow_history`. Earlier the view showed the output of
 * a hook's step, with the whole token, when the table of hooks had no row for this step: after a
 * fork, which copies the step, and after another run had taken the token. It also showed the output
 * of such a step that a retry had removed. Also names the beginning and the end of compensations.
 */
export const TokensInHistory1764400006000 = migration(
  'TokensInHistory1764400006000',
  (schema) =>
    viewSql(schema, {
      hidden: `s.kind = 'step' AND ${isHook('s')}`,
      data: `CASE WHEN e.kind = 'step_archived' AND ${isHook('e')} THEN (e.data::jsonb - 'output')::json ELSE e.data END`,
      kinds: ` WHEN s.kind = 'compensating' THEN 'compensation_started' WHEN s.kind = 'compensated' THEN 'compensation_ended'`,
    }),
  (schema) => viewSql(schema, { hidden: 'h.token IS NOT NULL', data: 'e.data', kinds: '' }),
);
