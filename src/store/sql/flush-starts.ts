import { columnList, fromMs, owned, valueList, type Section } from './flush-section.js';
import { nothingLeftSql } from './leftovers.js';
import { COLUMNS } from '../flush-columns.js';
import { placeSql } from './places.js';

/** SQL for the time at which a new run becomes due, and for its deadline. */
const DUE = `CROSS JOIN LATERAL (SELECT coalesce(now() + x.delay_ms * interval '1 millisecond', ${fromMs('x.start_at')}) AS at) AS due`;
const DEADLINE = `coalesce(due.at, now()) + x.timeout_ms * interval '1 millisecond'`;

/**
 * Builds SQL that copies the link to the parent from a run to its continuation, so that the parent
 * waits for the continuation. The link is dropped if the run has lost its parent since it was
 * claimed.
 */
const inherited = (column: string): string =>
  `CASE WHEN x.continued_from IS NULL OR own.parent_run_id = x.parent_run_id THEN x.${column} END`;

/**
 * Origin of the ids of new runs. An id that a caller has given may have belonged to a deleted run.
 * A new run is not inserted while rows of the deleted run remain. The journal deletes these rows,
 * and inserts the run again.
 */
type Ids = 'generated' | 'given';

const onlyIfNothingLeft = (schema: string, ids: Ids): string => (ids === 'given' ? `\n    AND ${nothingLeftSql(schema, 'x.id')}` : '');

/**
 * Inserts runs that the application starts. A run that this process executes at once is inserted as
 * running. Such a run is not inserted if the session has ended.
 */
export const starts = (ids: Ids): Section => ({
  key: ids === 'given' ? 'checkedStarts' : 'starts',
  as: 'starts',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, ready_at, wake_at, deadline_at,
      started_at, session_id, epoch, parent_run_id, timeout_ms, trace_context, queue_key, place)
  SELECT x.id, x.name, x.version, x.queue, x.priority, x.input, x.nonce, x.deployment_id, now(),
    CASE WHEN x.owned THEN 'running' WHEN due.at > now() THEN 'waiting' ELSE 'pending' END,
    CASE WHEN due.at > now() THEN NULL ELSE now() END,
    CASE WHEN due.at > now() THEN due.at END,
    ${DEADLINE},
    CASE WHEN x.owned THEN now() END,
    CASE WHEN x.owned THEN session.id END,
    CASE WHEN x.owned THEN 1 ELSE 0 END,
    x.parent_run_id, x.timeout_ms, x.trace_context, x.queue_key, ${placeSql(schema, 'x.queue')}
  FROM ${rows} LEFT JOIN session ON true
  ${DUE}
  WHERE (NOT x.owned OR session.id IS NOT NULL)${onlyIfNothingLeft(schema, ids)}
  ON CONFLICT (id) DO NOTHING
  RETURNING id`,
});

/**
 * Inserts runs that other runs start. If another session now owns the run that makes the call,
 * inserts nothing for this call, because that session executes the call again. A continuation
 * inherits the tags, the priority and the parent of the run that it continues.
 */
export const startsByRuns = (ids: Ids): Section => ({
  key: ids === 'given' ? 'checkedStartsByRuns' : 'startsByRuns',
  as: 'startsByRuns',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, deployment_id, created_at, status, ready_at, wake_at, deadline_at,
      parent_run_id, parent_step_key, continued_from, wake_count, chain_created_at, chain_nonce, timeout_ms, trace_context,
      queue_key, place, schedule, due_at)
  SELECT x.id, x.name, x.version, x.queue, CASE WHEN x.continued_from IS NULL THEN x.priority ELSE own.priority END, x.input,
    x.nonce, x.deployment_id, now(),
    CASE WHEN due.at > now() THEN 'waiting' ELSE 'pending' END,
    CASE WHEN due.at > now() THEN NULL ELSE now() END,
    CASE WHEN due.at > now() THEN due.at END,
    ${DEADLINE}, ${inherited('parent_run_id')}, ${inherited('parent_step_key')}, x.continued_from, x.wake_count,
    CASE WHEN x.continued_from IS NOT NULL THEN coalesce(own.chain_created_at, own.created_at) END,
    CASE WHEN x.continued_from IS NOT NULL THEN coalesce(own.chain_nonce, own.start_nonce) END, x.timeout_ms, x.trace_context,
    x.queue_key, ${placeSql(schema, 'x.queue')},
    CASE WHEN x.continued_from IS NOT NULL THEN own.schedule END, CASE WHEN x.continued_from IS NOT NULL THEN own.due_at END
  FROM session CROSS JOIN ${rows} ${owned(schema)} ${DUE}
  WHERE true${onlyIfNothingLeft(schema, ids)}
  ON CONFLICT (id) DO NOTHING
  RETURNING id, continued_from`,
  also: (schema) => ({
    inherited_tags: `
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT s.id, t.key, t.value FROM starts_by_runs s
  CROSS JOIN LATERAL (SELECT key, value FROM ${schema}.workflow_tags WHERE run_id = s.continued_from OFFSET 0) AS t`,
  }),
});

/**
 * Inserts tags of runs that this statement has started. IS TRUE makes the planner hash the started
 * runs instead of comparing all pairs in a nested loop.
 */
export function tagsOf(key: 'tags' | 'childTags' | 'memberTags', runs: string): Section {
  return {
    key,
    sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_tags (${columnList(COLUMNS[key])})
  SELECT ${valueList(COLUMNS[key])} FROM ${rows} WHERE (x.run_id IN (SELECT id FROM ${runs})) IS TRUE
  RETURNING 1`,
  };
}
