import type { ArrayType } from '../binary-array.js';
import type { FlushRows } from '../flush-rows.js';
import { nothingLeftSql } from './leftovers.js';
import { KEPT_BY_FAILED, MOVES_ON } from './send-signal.js';
import { TERMINAL } from './run-status.js';

/** One kind of rows in a flush, and the SQL that writes them. */
export interface Section {
  readonly key: keyof FlushRows;
  /** Section whose name this section uses in the statement. */
  readonly as?: keyof FlushRows;
  /** Names and types of the rows' columns. */
  readonly columns: readonly (readonly [name: string, type: ArrayType])[];
  readonly sql: (schema: string, rows: string, has: (key: keyof FlushRows) => boolean) => string;
}

/**
 * Restricts a section to runs that the session owns under the given epoch. LIMIT makes the planner
 * look up each run, whatever it estimates.
 */
const owned = (schema: string): string =>
  `CROSS JOIN LATERAL (SELECT r.priority, r.created_at, r.chain_created_at, r.start_nonce, r.chain_nonce, r.parent_run_id FROM ${schema}.workflow_runs r WHERE r.id = x.run_id AND r.session_id = session.id AND r.epoch = x.epoch LIMIT 1) AS own`;

const ms = (column: string): string => `to_timestamp(${column} / 1000.0)`;

/** Columns that identify the owned run of a row. */
const OWNER = [
  ['run_id', 'text'],
  ['epoch', 'int'],
] as const;

/** About how many dropped payloads the history of a run shows. */
const DROPS_SHOWN = 100;

/** SQL condition: true when the history shows one more dropped payload. */
const isDropShown = (schema: string): string =>
  `(x.data IS NOT NULL AND (SELECT count(*) FROM (
    SELECT 1 FROM ${schema}.workflow_run_log d WHERE d.run_id = x.run_id AND d.kind = 'payload_dropped' LIMIT ${DROPS_SHOWN}) AS shown) < ${DROPS_SHOWN})`;

/** Columns of every start; `flush-rows.ts` builds the rows. */
const START_COLUMNS = [
  ['id', 'text'],
  ['name', 'text'],
  ['version', 'int'],
  ['queue', 'text'],
  ['priority', 'smallint'],
  ['input', 'json'],
  ['delay_ms', 'float8'],
  ['start_at', 'float8'],
  ['nonce', 'bigint'],
  ['deployment_id', 'text'],
  ['timeout_ms', 'float8'],
] as const;

/** Time when a run is due, and its deadline. */
const DUE = `CROSS JOIN LATERAL (SELECT coalesce(now() + x.delay_ms * interval '1 millisecond', ${ms('x.start_at')}) AS at) AS due`;
const DEADLINE = `coalesce(due.at, now()) + x.timeout_ms * interval '1 millisecond'`;

/**
 * Inserts tags of runs that this statement has started. IS TRUE makes the planner hash the started
 * runs instead of comparing all pairs in a nested loop.
 */
function tagsOf(key: keyof FlushRows, runs: string): Section {
  return {
    key,
    columns: [
      ['run_id', 'text'],
      ['key', 'text'],
      ['value', 'text'],
    ],
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT x.run_id, x.key, x.value FROM ${rows} WHERE (x.run_id IN (SELECT id FROM ${runs})) IS TRUE
  RETURNING 1`,
  };
}

/** Omits a wait for a child that was not started, because such a wait would never end. */
const childIsThere = (schema: string): string => `
  WHERE x.kind <> 'child' OR (SELECT true FROM successors WHERE id = x.name LIMIT 1) OR (SELECT true FROM ${schema}.workflow_runs WHERE id = x.name LIMIT 1)`;

/**
 * Passes the parent's link to a continuation, so that the parent waits for it. The link is dropped
 * if the run has lost its parent since it was claimed.
 */
const inherited = (column: string): string =>
  `CASE WHEN x.continued_from IS NULL OR own.parent_run_id = x.parent_run_id THEN x.${column} END`;

/**
 * Origin of ids. A given id may have been used by an earlier run. A run whose id still has rows of
 * an earlier run is not inserted; the journal removes those rows.
 */
type Ids = 'generated' | 'given';

const onlyIfNothingLeft = (schema: string, ids: Ids): string => (ids === 'given' ? `\n    AND ${nothingLeftSql(schema, 'x.id')}` : '');

/**
 * Inserts runs that callers start. A run that this process executes at once is inserted as running,
 * unless the session has ended.
 */
const starts = (ids: Ids): Section => ({
  key: ids === 'given' ? 'checkedStarts' : 'starts',
  as: 'starts',
  columns: [...START_COLUMNS, ['owned', 'boolean'], ['parent_run_id', 'text']],
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, ready_at, wake_at, deadline_at, started_at, session_id, epoch,
      parent_run_id, timeout_ms)
  SELECT x.id, x.name, x.version, x.queue, x.priority, x.input, x.nonce, x.deployment_id, now(),
    CASE WHEN x.owned THEN 'running' WHEN due.at > now() THEN 'waiting' ELSE 'pending' END,
    CASE WHEN due.at > now() THEN NULL ELSE now() END,
    CASE WHEN due.at > now() THEN due.at END,
    ${DEADLINE},
    CASE WHEN x.owned THEN now() END,
    CASE WHEN x.owned THEN session.id END,
    CASE WHEN x.owned THEN 1 ELSE 0 END,
    x.parent_run_id, x.timeout_ms
  FROM ${rows} LEFT JOIN session ON true
  ${DUE}
  WHERE (NOT x.owned OR session.id IS NOT NULL)${onlyIfNothingLeft(schema, ids)}
  ON CONFLICT (id) DO NOTHING
  RETURNING id`,
});

/**
 * Inserts runs that other runs start. A run is not inserted once another session owns its starter:
 * that session decides. A continuation inherits the tags, the priority and the parent.
 */
const successors = (ids: Ids): Section => ({
  key: ids === 'given' ? 'checkedSuccessors' : 'successors',
  as: 'successors',
  columns: [
    ...START_COLUMNS,
    ['parent_run_id', 'text'],
    ['parent_step_key', 'text'],
    ['continued_from', 'text'],
    ['wake_count', 'int'],
    ...OWNER,
  ],
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, ready_at, wake_at, deadline_at, parent_run_id, parent_step_key, continued_from,
      wake_count, chain_created_at, chain_nonce, timeout_ms)
  SELECT x.id, x.name, x.version, x.queue, CASE WHEN x.continued_from IS NULL THEN x.priority ELSE own.priority END, x.input, x.nonce, x.deployment_id, now(),
    CASE WHEN due.at > now() THEN 'waiting' ELSE 'pending' END,
    CASE WHEN due.at > now() THEN NULL ELSE now() END,
    CASE WHEN due.at > now() THEN due.at END,
    ${DEADLINE}, ${inherited('parent_run_id')}, ${inherited('parent_step_key')}, x.continued_from, x.wake_count,
    CASE WHEN x.continued_from IS NOT NULL THEN coalesce(own.chain_created_at, own.created_at) END,
    CASE WHEN x.continued_from IS NOT NULL THEN coalesce(own.chain_nonce, own.start_nonce) END, x.timeout_ms
  FROM session CROSS JOIN ${rows} ${owned(schema)} ${DUE}
  WHERE true${onlyIfNothingLeft(schema, ids)}
  ON CONFLICT (id) DO NOTHING
  RETURNING id, continued_from
), kept_tags AS (
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT s.id, t.key, t.value FROM successors s
  CROSS JOIN LATERAL (SELECT key, value FROM ${schema}.workflow_tags WHERE run_id = s.continued_from OFFSET 0) AS t`,
});

/**
 * Parts of a flush, in the order in which the statement names them. PostgreSQL executes the counted
 * ones (`starts`, `changes`, `successors`, `steps`) in the order of the counts in `flush.ts`.
 */
export const SECTIONS: readonly Section[] = [
  starts('generated'),
  starts('given'),
  successors('generated'),
  successors('given'),
  tagsOf('tags', 'starts'),
  tagsOf('successorTags', 'successors'),
  {
    key: 'changes',
    columns: [
      ['id', 'text'],
      ['epoch', 'int'],
      ['status', 'text'],
      ['output', 'json'],
      ['error', 'json'],
      ['wake_at', 'float8'],
      ['wake_count', 'int'],
      ['blocked_for', 'text'],
      ['history_bytes', 'float8'],
      ['error_code', 'text'],
      ['failed_step', 'text'],
      ['continued_as', 'text'],
    ],
    // The conditions leave the primary key as the only access path, whatever the statistics say.
    // The planner cannot reverse = ANY (ARRAY[..]). IS TRUE hides a condition with which it could
    // read all running rows and compare all pairs (105 ms for 500).
    sql: (schema, rows) => `
  UPDATE ${schema}.workflow_runs r SET
    status = x.status,
    output = x.output,
    error = x.error,
    error_code = x.error_code,
    failed_step = x.failed_step,
    session_id = NULL,
    wake_at = ${ms('x.wake_at')},
    ready_at = CASE WHEN x.status = 'pending' THEN now() END,
    finished_at = CASE WHEN x.status IN ${TERMINAL} THEN now() END,
    blocked_deployments = CASE WHEN x.blocked_for IS NULL THEN r.blocked_deployments ELSE array_append(r.blocked_deployments, x.blocked_for) END,
    is_blocked = x.blocked_for IS NOT NULL,
    history_bytes = x.history_bytes::bigint,
    continued_as = x.continued_as
  FROM session, ${rows}
  WHERE r.id = ANY (ARRAY[x.id]) AND (r.session_id = session.id AND r.epoch = x.epoch AND r.status = 'running') IS TRUE
    AND (x.wake_count IS NULL OR r.wake_count = x.wake_count)
  RETURNING r.id`,
  },
  {
    key: 'steps',
    columns: [
      ...OWNER,
      ['step_key', 'text'],
      ['kind', 'text'],
      ['seq', 'int'],
      ['status', 'text'],
      ['output', 'json'],
      ['error', 'json'],
      ['attempts', 'int'],
      ['called_after', 'int'],
      ['called_after_io', 'boolean'],
      ['args_hash', 'int'],
      ['started_at', 'float8'],
      ['finished_at', 'float8'],
    ],
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_steps
    (run_id, epoch, step_key, kind, seq, status, output, error, attempts, called_after, called_after_io, args_hash, started_at, finished_at)
  SELECT x.run_id, x.epoch, x.step_key, x.kind, x.seq, x.status, x.output, x.error, x.attempts, x.called_after, x.called_after_io, x.args_hash,
    ${ms('x.started_at')}, ${ms('x.finished_at')}
  FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT (run_id, step_key) DO NOTHING
  RETURNING 1`,
  },
  {
    key: 'waits',
    columns: [
      ...OWNER,
      ['step_key', 'text'],
      ['kind', 'text'],
      ['wake_at', 'float8'],
      ['attempts', 'int'],
      ['opened_at', 'float8'],
      ['name', 'text'],
    ],
    sql: (schema, rows, has) => `
  INSERT INTO ${schema}.workflow_waits AS w (run_id, step_key, kind, wake_at, attempts, opened_at, name)
  SELECT x.run_id, x.step_key, x.kind, ${ms('x.wake_at')}, x.attempts, ${ms('x.opened_at')}, x.name
  FROM session CROSS JOIN ${rows} ${owned(schema)}${has('checkedSuccessors') ? childIsThere(schema) : ''}
  ON CONFLICT (run_id, step_key) DO UPDATE SET kind = excluded.kind, wake_at = excluded.wake_at, attempts = excluded.attempts, opened_at = excluded.opened_at
    WHERE excluded.attempts > w.attempts
  RETURNING 1`,
  },
  {
    key: 'closedWaits',
    columns: [...OWNER, ['step_key', 'text']],
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_waits w USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE w.run_id = ANY (ARRAY[x.run_id]) AND w.step_key = ANY (ARRAY[x.step_key]) RETURNING 1`,
  },
  {
    key: 'leftovers',
    columns: [...OWNER, ['is_failed', 'boolean']],
    // A failed run keeps its unread messages and its running children for a retry.
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_waits w USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE w.run_id = ANY (ARRAY[x.run_id]) AND NOT (x.is_failed AND w.kind = 'child') RETURNING 1
), leftover_messages AS (
  DELETE FROM ${schema}.workflow_inbox i USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE i.run_id = ANY (ARRAY[x.run_id]) AND NOT (x.is_failed AND i.kind IN ${KEPT_BY_FAILED}) RETURNING 1`,
  },
  {
    key: 'events',
    columns: [...OWNER, ['kind', 'text'], ['step_key', 'text'], ['attempt', 'int'], ['data', 'json']],
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_run_log (run_id, epoch, kind, step_key, attempt, data)
  SELECT x.run_id, x.epoch, x.kind, x.step_key, x.attempt, x.data FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT DO NOTHING
  RETURNING 1`,
  },
  {
    key: 'states',
    columns: [...OWNER, ['key', 'text'], ['value', 'json']],
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_state (run_id, key, value)
  SELECT x.run_id, x.key, x.value FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value, updated_at = now()
  RETURNING 1`,
  },
  {
    key: 'sent',
    columns: [...OWNER, ['to_run_id', 'text'], ['kind', 'text'], ['name', 'text'], ['payload', 'json']],
    // After the commit a separate statement notifies the receivers. A run may cancel only its own
    // children, because the id that it wanted for a child may belong to another run. It reports its
    // end only to its current parent. A child that starts in this very statement is not visible
    // yet.
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload)
  SELECT x.to_run_id, x.kind, x.name, x.payload FROM session CROSS JOIN ${rows} ${owned(schema)}
  WHERE CASE WHEN x.kind = 'cancel'
    THEN NOT EXISTS (SELECT 1 FROM ${schema}.workflow_runs c WHERE c.id = x.to_run_id AND c.parent_run_id IS DISTINCT FROM x.run_id)
    ELSE own.parent_run_id = x.to_run_id END
  RETURNING run_id, kind, payload
), cancels_sent AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, data) SELECT run_id, 'cancel_requested', payload FROM sent WHERE kind = 'cancel' RETURNING 1`,
  },
  {
    key: 'movedOn',
    columns: [...OWNER, ['to_run_id', 'text']],
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_waits w USING session CROSS JOIN ${rows} ${owned(schema)} WHERE w.run_id = ANY (ARRAY[x.run_id]) RETURNING 1
), moved_messages AS (
  UPDATE ${schema}.workflow_inbox i SET run_id = x.to_run_id FROM session CROSS JOIN ${rows} ${owned(schema)}
  WHERE i.run_id = ANY (ARRAY[x.run_id]) AND i.kind IN ${MOVES_ON} RETURNING 1`,
  },
  {
    key: 'dropped',
    columns: [...OWNER, ['id', 'bigint'], ['step_key', 'text'], ['data', 'json']],
    // Whoever has the URL of a hook can send payloads without end that do not fit. The history shows the first of them; of the others it keeps nothing,
    // not even that they came. Both were noted by the statement that left the payload, and so have its time.
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_run_log (run_id, epoch, kind, step_key, data)
  SELECT x.run_id, x.epoch, 'payload_dropped', x.step_key, x.data FROM session CROSS JOIN ${rows} ${owned(schema)}
  WHERE ${isDropShown(schema)}
  RETURNING 1
), forgotten AS (
  DELETE FROM ${schema}.workflow_run_log e USING (
    SELECT came.run_id, came.id FROM session CROSS JOIN ${rows} ${owned(schema)}
    CROSS JOIN LATERAL (SELECT created_at FROM ${schema}.workflow_inbox WHERE run_id = x.run_id AND id = x.id LIMIT 1) AS message
    CROSS JOIN LATERAL (
      SELECT run_id, id FROM ${schema}.workflow_run_log
      WHERE run_id = x.run_id AND kind = 'hook_resumed' AND at = message.created_at ORDER BY id DESC LIMIT 1
    ) AS came
    WHERE NOT ${isDropShown(schema)}
  ) AS old WHERE e.run_id = ANY (ARRAY[old.run_id]) AND e.id = ANY (ARRAY[old.id]) RETURNING 1`,
  },
  {
    key: 'taken',
    columns: [...OWNER, ['id', 'bigint']],
    // A message that an abandoned execution took stays, and the run's current owner takes it. This
    // section must follow movedOn: PostgreSQL executes parts without a count from the last to the
    // first, and a deleted message cannot move (journal-continued.spec.ts proves it).
    sql: (schema, rows) => `
  DELETE FROM ${schema}.workflow_inbox i USING session CROSS JOIN ${rows} ${owned(schema)}
  WHERE i.run_id = ANY (ARRAY[x.run_id]) AND i.id = ANY (ARRAY[x.id]) RETURNING 1`,
  },
];
