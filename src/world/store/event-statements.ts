import type { Statement } from '../../store/database.js';
import { HOOK_COLUMNS, NO_PAYLOAD, RUN_COLUMNS, runPayloads, STEP_COLUMNS, stepPayloads, WAIT_COLUMNS } from './rows.js';

/**
 * Condition that lets a statement wait for the lock on a run. The connections of the package wait
 * for a tenth of a second only, because their statements write many runs; these write one.
 */
const WAIT_FOR_LOCK = `(SELECT set_config('lock_timeout', '10s', true)) IS NOT NULL`;

/** Condition of a run that has not ended. */
const ACTIVE = `run.status IN ('pending', 'running')`;

/**
 * Locks the run, which orders its events: the place and the time of an event are computed under the
 * lock, so that no event appears before one that a reader has already seen.
 *
 * Parameters of all statements: $1 run, $2 type, $3 correlation id, $4 data, $5 payload, $6 version
 * of the event, $7 newest version that the World can execute.
 */
const lockedRun = (schema: string, only: string): string => `run AS MATERIALIZED (
  SELECT r.run_id, r.status, r.last_slot, GREATEST(date_trunc('milliseconds', clock_timestamp()), r.last_at + interval '1 millisecond') AS at
  FROM ${schema}.world_runs r WHERE r.run_id = $1::text AND COALESCE(r.spec_version, 0) <= $7::int${only} AND ${WAIT_FOR_LOCK}
  FOR NO KEY UPDATE)`;

interface Change {
  /** Statement that changes the row, if the change is allowed; returns at most one row. */
  readonly changed: string;
  /** Further assignments to the run. */
  readonly set?: string;
  /** Events written: one, or two for a step that is created and started at once. */
  readonly events?: 1 | 2;
  /** Columns of the answer after the place and the time of the event. */
  readonly columns: string;
  readonly joins?: string;
  /** Further statements that depend on `next`. */
  readonly more?: string;
  /** Condition of a run that is locked. A run that is only read costs no commit. */
  readonly only?: string;
  /** Columns and the rest of the answer when nothing was changed (default: no row). */
  readonly otherwise?: string;
}

/**
 * Builds the statement of an event: locks the run, changes a row, and writes the event, all or
 * nothing. Returns no row when the change is not allowed.
 */
function write(name: string, build: (schema: string) => Change): Statement {
  return {
    name,
    text: (schema) => {
      const { changed, set = '', events = 1, columns, joins = '', more = '', only = '', otherwise } = build(schema);
      const first =
        events === 1
          ? ''
          : `SELECT $1::text, run.last_slot + 1, 'step_created', $3::text, $8::json, $9::bytea, $6::int, run.at FROM run, next UNION ALL`;
      return `WITH ${lockedRun(schema, only)}, changed AS (${changed}),
next AS (
  UPDATE ${schema}.world_runs r SET last_slot = run.last_slot + ${events}, last_at = run.at + interval '${events - 1} milliseconds', updated_at = run.at${set}
  FROM run, changed WHERE r.run_id = $1::text RETURNING r.*),
event AS (
  INSERT INTO ${schema}.world_events (run_id, slot, type, correlation_id, data, payload, spec_version, created_at)
  ${first} SELECT $1::text, run.last_slot + ${events}, $2::text, $3::text, $4::json, $5::bytea, $6::int, run.at + interval '${events - 1} milliseconds' FROM run, next)${more}
SELECT next.last_slot, (extract(epoch FROM next.last_at) * 1000)::float8, ${columns} FROM next, changed ${joins}${
        otherwise === undefined ? '' : `\nUNION ALL SELECT NULL, NULL, ${otherwise} AND NOT EXISTS (SELECT FROM next)`
      }`;
    },
  };
}

const stepAnswer = (schema: string): Pick<Change, 'columns' | 'joins'> => {
  const { columns, joins } = stepPayloads(schema, 'changed', 'all');
  return { columns: `${STEP_COLUMNS('changed')}, ${columns}`, joins };
};

/**
 * Creates a run, and starts it for the status `running`. $1: run, $2: data of run_created, $3: its
 * payload, $4: version of the event, $5: workflow, $6: deployment, $7: context, $8: attributes.
 */
const insertRun = (schema: string, status: 'pending' | 'running'): string => {
  const isStarted = status === 'running';
  return `WITH at AS (SELECT date_trunc('milliseconds', clock_timestamp()) AS at),
made AS (
  INSERT INTO ${schema}.world_runs (run_id, workflow_name, deployment_id, status, spec_version, execution_context, attributes,
    last_slot, last_at, created_at, updated_at, started_at)
  SELECT $1::text, $5::text, $6::text, '${status}', $4::int, $7::json, $8::json,
    ${isStarted ? 2 : 1}, at + interval '${isStarted ? 1 : 0} milliseconds', at, at, ${isStarted ? 'at' : 'NULL'} FROM at
  ON CONFLICT (run_id) DO NOTHING RETURNING *),
event AS (
  INSERT INTO ${schema}.world_events (run_id, slot, type, data, payload, spec_version, created_at)
  SELECT $1::text, 1, 'run_created', $2::json, $3::bytea, $4::int, made.created_at FROM made${
    isStarted ? ` UNION ALL SELECT $1::text, 2, 'run_started', NULL::json, NULL::bytea, $4::int, made.last_at FROM made` : ''
  })
SELECT made.last_slot, (extract(epoch FROM made.last_at) * 1000)::float8, ${RUN_COLUMNS('made')}, NULL, NULL, NULL FROM made`;
};

export const CREATE_RUN: Statement = { name: 'world_create_run', text: (schema) => insertRun(schema, 'pending') };

export const CREATE_STARTED_RUN: Statement = { name: 'world_create_started_run', text: (schema) => insertRun(schema, 'running') };

/**
 * Starts a pending run. Each replay calls this: a run that is not pending is neither locked nor
 * written, and is answered without a place of an event.
 */
export const START_RUN = write('world_start_run', (schema) => {
  const { columns, joins } = runPayloads(schema, 'r', 'all');
  return {
    only: ` AND r.status = 'pending'`,
    changed: 'SELECT FROM run',
    set: `, status = 'running', started_at = COALESCE(r.started_at, run.at)`,
    columns: `${RUN_COLUMNS('next')}, input.type, input.data, input.payload, ${NO_PAYLOAD}`,
    joins: `LEFT JOIN ${schema}.world_events input ON input.run_id = $1::text AND input.slot = 1`,
    otherwise: `${RUN_COLUMNS('r')}, ${columns} FROM ${schema}.world_runs r ${joins} WHERE r.run_id = $1::text AND COALESCE(r.spec_version, 0) <= $7::int`,
  };
});

/** Locks a run, so that the next statement sees all hooks that were made before. */
export const LOCK_RUN: Statement = {
  name: 'world_lock_run',
  text: (schema) => `SELECT r.attributes FROM ${schema}.world_runs r WHERE r.run_id = $1 AND ${WAIT_FOR_LOCK} FOR NO KEY UPDATE`,
};

/**
 * Ends a run. $8: status, $9: error code.
 *
 * Hooks that were made while the statement waited for the lock must end too, but the statement does
 * not see them. Each hook has an event, so the run is ended only if no event came meanwhile.
 */
export const END_RUN = write('world_end_run', (schema) => ({
  changed: `SELECT FROM run WHERE ${ACTIVE} AND run.last_slot = (SELECT r.last_slot FROM ${schema}.world_runs r WHERE r.run_id = $1::text)`,
  set: `, status = $8::text, error_code = $9::text, ended_slot = run.last_slot + 1, completed_at = run.at`,
  columns: `${RUN_COLUMNS('next')}, input.type, input.data, input.payload`,
  joins: `LEFT JOIN ${schema}.world_events input ON input.run_id = $1::text AND input.slot = 1`,
  more: `,
hooks AS (UPDATE ${schema}.world_hooks h SET ended_at = next.last_at FROM next WHERE h.run_id = $1::text AND h.ended_at IS NULL),
waits AS (DELETE FROM ${schema}.world_waits w USING next WHERE w.run_id = $1::text)`,
}));

/** Sets the attributes of a run. $8: attributes after the change, $9: key of a change made once. */
export const SET_ATTRIBUTES: Statement = {
  name: 'world_set_attributes',
  text: (schema) => `WITH ${lockedRun(schema, '')},
next AS (
  UPDATE ${schema}.world_runs r SET last_slot = run.last_slot + 1, last_at = run.at, updated_at = run.at, attributes = $8::json
  FROM run WHERE r.run_id = $1::text AND ${ACTIVE} RETURNING r.*),
event AS (
  INSERT INTO ${schema}.world_events (run_id, slot, type, correlation_id, data, payload, spec_version, once_key, created_at)
  SELECT $1::text, next.last_slot, $2::text, $3::text, $4::json, $5::bytea, $6::int, $9::text, next.last_at FROM next)
SELECT next.last_slot, (extract(epoch FROM next.last_at) * 1000)::float8, ${RUN_COLUMNS('next')} FROM next`,
};

/** Creates a step. $8: name. */
export const CREATE_STEP = write('world_create_step', (schema) => ({
  changed: `INSERT INTO ${schema}.world_steps (run_id, step_id, step_name, status, attempt, spec_version, created_slot, created_at, updated_at)
  SELECT $1::text, $3::text, $8::text, 'pending', 0, $6::int, run.last_slot + 1, run.at, run.at FROM run WHERE ${ACTIVE}
  ON CONFLICT DO NOTHING RETURNING *`,
  columns: STEP_COLUMNS('changed'),
}));

/** Begins an attempt of a step. */
export const START_STEP = write('world_start_step', (schema) => ({
  changed: `UPDATE ${schema}.world_steps s SET status = 'running', attempt = s.attempt + 1, started_at = COALESCE(s.started_at, run.at),
    retry_after = NULL, updated_at = run.at
  FROM run WHERE s.run_id = $1::text AND s.step_id = $3::text AND s.status IN ('pending', 'running')
    AND (s.retry_after IS NULL OR s.retry_after <= clock_timestamp()) AND (${ACTIVE} OR s.status = 'running') RETURNING s.*`,
  ...stepAnswer(schema),
}));

/**
 * Creates a step and begins its first attempt. $8: data of step_created, $9: its payload, $10:
 * name.
 */
export const CREATE_STARTED_STEP = write('world_create_started_step', (schema) => ({
  changed: `INSERT INTO ${schema}.world_steps (run_id, step_id, step_name, status, attempt, spec_version, created_slot, created_at, updated_at, started_at)
  SELECT $1::text, $3::text, $10::text, 'running', 1, $6::int, run.last_slot + 1, run.at, run.at, run.at FROM run WHERE ${ACTIVE}
  ON CONFLICT DO NOTHING RETURNING *`,
  events: 2,
  columns: STEP_COLUMNS('changed'),
}));

/** Ends a step. $8: status. */
export const END_STEP = write('world_end_step', (schema) => ({
  changed: `UPDATE ${schema}.world_steps s SET status = $8::text, result_slot = run.last_slot + 1, completed_at = run.at, updated_at = run.at
  FROM run WHERE s.run_id = $1::text AND s.step_id = $3::text AND s.status IN ('pending', 'running')
    AND (${ACTIVE} OR s.status = 'running') RETURNING s.*`,
  ...stepAnswer(schema),
}));

/** Puts a failed step off. $8: milliseconds of the time of the next attempt, or null. */
export const RETRY_STEP = write('world_retry_step', (schema) => ({
  changed: `UPDATE ${schema}.world_steps s SET status = 'pending', result_slot = run.last_slot + 1, updated_at = run.at,
    retry_after = to_timestamp($8::float8 / 1000)
  FROM run WHERE s.run_id = $1::text AND s.step_id = $3::text AND s.status IN ('pending', 'running')
    AND (${ACTIVE} OR s.status = 'running') RETURNING s.*`,
  ...stepAnswer(schema),
}));

/**
 * Creates a hook, unless another hook has the token. $8: token, $9: for a webhook, $10: of the
 * system.
 */
export const CREATE_HOOK = write('world_create_hook', (schema) => ({
  changed: `INSERT INTO ${schema}.world_hooks (run_id, hook_id, token, spec_version, is_webhook, is_system, created_slot, created_at)
  SELECT $1::text, $3::text, $8::text, $6::int, $9::boolean, $10::boolean, run.last_slot + 1, run.at FROM run WHERE ${ACTIVE}
  ON CONFLICT DO NOTHING RETURNING *`,
  columns: HOOK_COLUMNS('changed'),
}));

/**
 * Records that another hook has the token. The row of the hook has ended from the beginning. $8:
 * token.
 */
export const CONFLICT_HOOK = write('world_conflict_hook', (schema) => ({
  changed: `INSERT INTO ${schema}.world_hooks (run_id, hook_id, token, spec_version, created_slot, created_at, ended_at)
  SELECT $1::text, $3::text, $8::text, $6::int, run.last_slot + 1, run.at, run.at FROM run WHERE ${ACTIVE}
  ON CONFLICT DO NOTHING RETURNING *`,
  columns: HOOK_COLUMNS('changed'),
}));

/** Finds the run whose hook has a token. */
export const TOKEN_HOLDER: Statement = {
  name: 'world_token_holder',
  text: (schema) => `SELECT h.run_id FROM ${schema}.world_hooks h WHERE h.token = $1 AND h.ended_at IS NULL`,
};

/**
 * Records a payload for a hook. The hook's row is updated, although nothing in it changes: a
 * disposal that commits while this statement waits is noticed only so. A payload after the disposal
 * would make the history unreadable.
 */
export const RECEIVE_HOOK = write('world_receive_hook', (schema) => ({
  changed: `UPDATE ${schema}.world_hooks h SET ended_at = NULL FROM run
  WHERE h.run_id = $1::text AND h.hook_id = $3::text AND h.ended_at IS NULL AND ${ACTIVE} RETURNING h.*`,
  columns: HOOK_COLUMNS('changed'),
}));

export const DISPOSE_HOOK = write('world_dispose_hook', (schema) => ({
  changed: `UPDATE ${schema}.world_hooks h SET ended_at = run.at FROM run
  WHERE h.run_id = $1::text AND h.hook_id = $3::text AND h.ended_at IS NULL AND ${ACTIVE} RETURNING h.*`,
  columns: HOOK_COLUMNS('changed'),
}));

/** Creates a wait. $8: milliseconds of the time of its end. */
export const CREATE_WAIT = write('world_create_wait', (schema) => ({
  changed: `INSERT INTO ${schema}.world_waits (run_id, wait_id, status, spec_version, resume_at, created_at, updated_at)
  SELECT $1::text, $3::text, 'waiting', $6::int, to_timestamp($8::float8 / 1000), run.at, run.at FROM run WHERE ${ACTIVE}
  ON CONFLICT DO NOTHING RETURNING *`,
  columns: WAIT_COLUMNS('changed'),
}));

export const END_WAIT = write('world_end_wait', (schema) => ({
  changed: `UPDATE ${schema}.world_waits w SET status = 'completed', completed_at = run.at, updated_at = run.at FROM run
  WHERE w.run_id = $1::text AND w.wait_id = $3::text AND w.status = 'waiting' AND ${ACTIVE} RETURNING w.*`,
  columns: WAIT_COLUMNS('changed'),
}));

/** Reads why a statement above has changed nothing. */
export const READ_STATE: Statement = {
  name: 'world_read_state',
  text: (schema) => `SELECT r.status, r.spec_version, s.status, ceil(extract(epoch FROM s.retry_after - clock_timestamp()))::float8,
  h.hook_id IS NOT NULL, h.hook_id IS NOT NULL AND h.ended_at IS NULL, w.status
FROM (SELECT) one
LEFT JOIN ${schema}.world_runs r ON r.run_id = $1::text
LEFT JOIN ${schema}.world_steps s ON s.run_id = $1::text AND s.step_id = $2::text
LEFT JOIN ${schema}.world_hooks h ON h.run_id = $1::text AND h.hook_id = $2::text
LEFT JOIN ${schema}.world_waits w ON w.run_id = $1::text AND w.wait_id = $2::text`,
};
