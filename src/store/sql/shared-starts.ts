import { COLUMNS } from '../flush-columns.js';
import { columnList, fromMs, type Section } from './flush-section.js';
import { nothingLeftSql } from './leftovers.js';
import { placeSql } from './places.js';

/** Number of nonces that a key keeps: a start whose answer was lost is found among them. */
const KEPT_NONCES = 20;

/** Condition that is true for a run that later starts may still change (columns of the run). */
const IS_OPEN = `status = 'waiting' AND wake_at > now() AND epoch = 0 AND NOT is_blocked`;

/** Time at which a debounced run starts after this call. */
export const debouncedAt = (firstAt: string): string =>
  `least(now() + x.period_ms * interval '1 millisecond', ${firstAt} + x.max_wait_ms * interval '1 millisecond')`;

/**
 * Verdict on a start (alias `s`):
 *
 * `joined`: another run counts. `new`: this start makes the run that counts. `exists`: a run
 * already has the id that the caller chose. `withheld`: rows of a deleted run with this id remain.
 * `again`: the run that counts was created after this statement began, so only the next statement
 * sees it. `gone`: the run of a request no longer waits for its decision.
 */
const verdictSql = (
  schema: string,
  requests: boolean,
): string => `CASE${requests ? `\n    WHEN (s.id IN (SELECT id FROM shared_open WHERE wake_at IS NULL)) IS NOT TRUE THEN 'gone'` : ''}
    WHEN s.is_repeated THEN 'joined'
    WHEN s.kind = 'debounce' AND o.id IS NOT NULL THEN 'joined'
    WHEN s.kind = 'throttle' AND s.until > now() AND (held.name IS NOT NULL OR s.known_id IS DISTINCT FROM s.held_id) THEN 'joined'
    WHEN s.kind = 'debounce' AND held.name IS NULL AND s.known_id IS DISTINCT FROM s.held_id THEN 'again'
    WHEN s.is_given AND (SELECT true FROM ${schema}.workflow_runs WHERE id = s.id LIMIT 1) THEN 'exists'
    WHEN s.is_given AND NOT (${nothingLeftSql(schema, 's.id')}) THEN 'withheld'
    ELSE 'new' END`;

/**
 * Builds the common table expressions that decide which runs count for starts with `debounce` or
 * `throttle`, and write the decision to the keys and to the runs that wait.
 *
 * A statement sees rows as they were when it began, but a lock returns the newest version of a row.
 * So `shared` locks the keys first, and `shared_open` locks the runs that still wait. When the key
 * names a run that this statement cannot see, the verdict is `again`.
 *
 * A call that makes a run due earlier raises the run's wake counter. Otherwise QStash would drop
 * the new announcement, because it has announced the run in the same second.
 *
 * @param source SQL of a query with the columns of `COLUMNS.sharedStarts`, sorted by key
 * @param requests condition for the runs of `source`, when these runs exist already and are to be
 *   locked too (default: the runs do not exist)
 */
export function decideSql(schema: string, source: string, requests?: { readonly condition: string }): Record<string, string> {
  const openIds = `SELECT DISTINCT held_id AS id FROM shared WHERE kind = 'debounce' AND held_id IS NOT NULL AND NOT is_repeated`;
  const keyIs = (key: string, row: string): string =>
    ['kind', 'name', 'key'].map((column) => `${key}.${column} = ${row}.${column}`).join(' AND ');
  const keyIsAny = (key: string, row: string): string =>
    ['kind', 'name', 'key'].map((column) => `${key}.${column} = ANY (ARRAY[${row}.${column}])`).join(' AND ');
  return {
    shared: `
  SELECT x.*, k.run_id AS held_id, k.first_at, k.until, coalesce(x.nonce = ANY (k.nonces), false) AS is_repeated,
    (SELECT run_id FROM ${schema}.workflow_shared_starts p WHERE ${keyIs('p', 'x')} LIMIT 1) AS known_id
  FROM (${source}) AS x LEFT JOIN LATERAL (
    SELECT p.run_id, p.first_at, p.until, p.nonces FROM ${schema}.workflow_shared_starts p WHERE ${keyIs('p', 'x')} LIMIT 1 FOR UPDATE
  ) AS k ON true`,
    shared_open: `
  SELECT r.id, r.wake_at FROM (
    ${requests ? `${openIds} UNION SELECT id FROM shared` : openIds} ORDER BY id
  ) AS h CROSS JOIN LATERAL (
    SELECT id, wake_at FROM ${schema}.workflow_runs
    WHERE id = h.id AND (${IS_OPEN}${requests ? ` OR ${requests.condition}` : ''}) LIMIT 1 FOR NO KEY UPDATE
  ) AS r`,
    shared_verdicts: `
  SELECT s.*, o.wake_at AS open_wake_at, held.name AS held_name, held.start_nonce AS held_nonce, held.chain_nonce AS held_chain,
    ${verdictSql(schema, requests !== undefined)} AS verdict
  FROM shared s LEFT JOIN shared_open o ON o.id = s.held_id AND o.wake_at IS NOT NULL
  LEFT JOIN LATERAL (SELECT name, start_nonce, chain_nonce FROM ${schema}.workflow_runs WHERE id = s.held_id LIMIT 1) AS held ON true`,
    new_keys: `
  INSERT INTO ${schema}.workflow_shared_starts (kind, name, key, run_id, first_at, until, nonces)
  SELECT x.kind, x.name, x.key, x.id, now(), now() + x.period_ms * interval '1 millisecond', ARRAY[x.nonce]
  FROM shared_verdicts x WHERE x.verdict = 'new' AND x.held_id IS NULL ORDER BY x.kind, x.name, x.key
  ON CONFLICT DO NOTHING
  RETURNING run_id`,
    changed_keys: `
  UPDATE ${schema}.workflow_shared_starts k SET
    run_id = CASE WHEN x.verdict = 'new' THEN x.id ELSE k.run_id END,
    first_at = CASE WHEN x.verdict = 'new' THEN now() ELSE k.first_at END,
    until = CASE WHEN x.kind = 'debounce' THEN ${debouncedAt(`CASE WHEN x.verdict = 'new' THEN now() ELSE k.first_at END`)}
      ELSE now() + x.period_ms * interval '1 millisecond' END,
    nonces = (ARRAY[x.nonce] || k.nonces)[1:${KEPT_NONCES}]
  FROM shared_verdicts x WHERE ${keyIsAny('k', 'x')} AND x.held_id IS NOT NULL
    AND ((x.id IN (SELECT id FROM shared_starts)) IS TRUE OR ${IS_JOINING})
  RETURNING 1`,
    joined_runs: `
  UPDATE ${schema}.workflow_runs r SET input = x.input, version = x.version, queue = x.queue, priority = x.priority,
    queue_key = x.queue_key, place = ${placeSql(schema, 'x.queue')},
    deployment_id = x.deployment_id, timeout_ms = x.timeout_ms, trace_context = x.trace_context,
    wake_at = ${debouncedAt('x.first_at')},
    wake_count = r.wake_count + CASE WHEN ${debouncedAt('x.first_at')} < r.wake_at THEN 1 ELSE 0 END,
    deadline_at = ${debouncedAt('x.first_at')} + x.timeout_ms * interval '1 millisecond'
  FROM shared_verdicts x WHERE r.id = ANY (ARRAY[x.held_id]) AND ${IS_JOINING}
  RETURNING 1`,
    shared_results: `
  SELECT x.id, CASE WHEN x.verdict = 'new' AND (x.id IN (SELECT id FROM shared_starts)) IS NOT TRUE THEN 'again' ELSE x.verdict END AS verdict,
    CASE WHEN x.verdict = 'joined' THEN x.held_id ELSE x.id END AS run_id,
    CASE WHEN x.verdict = 'joined' THEN x.held_nonce ELSE x.nonce END AS nonce,
    CASE WHEN x.verdict = 'joined' THEN coalesce(x.held_name, x.name) ELSE x.name END AS name,
    CASE WHEN x.kind = 'debounce' AND (x.verdict = 'new' OR ${debouncedAt('x.first_at')} < x.open_wake_at)
      THEN ${debouncedAt(`coalesce(CASE WHEN x.verdict = 'joined' THEN x.first_at END, now())`)} END AS due_at
  FROM shared_verdicts x`,
  };
}

/** Condition for a call that changes a waiting run (alias `x`). */
export const IS_JOINING = `x.verdict = 'joined' AND x.kind = 'debounce' AND NOT x.is_repeated`;

const DUE = `CROSS JOIN LATERAL (SELECT CASE WHEN x.kind = 'debounce' THEN ${debouncedAt('now()')}
    ELSE coalesce(now() + x.delay_ms * interval '1 millisecond', ${fromMs('x.start_at')}) END AS at) AS due`;

/**
 * Decides starts with `debounce` or `throttle`, and inserts the runs that they make. Such a run
 * begins a chain, so that a start that a transaction has committed later can end as continued by
 * the run that counts.
 */
export const sharedStarts: Section = {
  key: 'sharedStarts',
  before: (schema, rows) => {
    const { shared, shared_open, shared_verdicts, new_keys } = decideSql(
      schema,
      `SELECT ${columnList(COLUMNS.sharedStarts)} FROM ${rows} ORDER BY kind, name, key`,
    );
    return { shared: shared!, shared_open: shared_open!, shared_verdicts: shared_verdicts!, new_keys: new_keys! };
  },
  sql: (schema) => `
  INSERT INTO ${schema}.workflow_runs
    (id, name, version, queue, priority, input, start_nonce, chain_nonce, deployment_id, created_at, status, ready_at, wake_at, deadline_at,
      epoch, timeout_ms, trace_context, queue_key, place)
  SELECT x.id, x.name, x.version, x.queue, x.priority, x.input, x.nonce, x.nonce, x.deployment_id, now(),
    CASE WHEN due.at > now() THEN 'waiting' ELSE 'pending' END,
    CASE WHEN due.at > now() THEN NULL ELSE now() END,
    CASE WHEN due.at > now() THEN due.at END,
    coalesce(due.at, now()) + x.timeout_ms * interval '1 millisecond', 0, x.timeout_ms, x.trace_context,
    x.queue_key, ${placeSql(schema, 'x.queue')}
  FROM shared_verdicts x ${DUE}
  WHERE x.verdict = 'new' AND (x.held_id IS NOT NULL OR (x.id IN (SELECT run_id FROM new_keys)) IS TRUE)
  ON CONFLICT (id) DO NOTHING
  RETURNING id`,
  also: (schema, rows) => {
    const { changed_keys, joined_runs, shared_results } = decideSql(schema, rows);
    return { changed_keys: changed_keys!, joined_runs: joined_runs!, shared_results: shared_results! };
  },
};

/** Writes the tags of starts with `debounce` or `throttle`. A later call replaces values. */
export const sharedTags: Section = {
  key: 'sharedTags',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_tags (run_id, key, value)
  SELECT v.run_id, t.key, t.value FROM (SELECT * FROM ${rows}) AS t CROSS JOIN LATERAL (
    SELECT CASE WHEN x.verdict = 'joined' THEN x.held_id ELSE x.id END AS run_id FROM shared_verdicts x
    WHERE x.id = t.run_id AND ((x.id IN (SELECT id FROM shared_starts)) IS TRUE OR ${IS_JOINING}) LIMIT 1
  ) AS v
  ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value
  RETURNING 1`,
};

/** SQL of the results, as the text of a JSON array. */
export const SHARED_RESULTS = `(SELECT coalesce(json_agg(json_build_array(r.id, r.verdict, r.run_id, r.nonce::text, r.name,
  extract(epoch FROM r.due_at)::float8 * 1000)), '[]')::text FROM shared_results r)`;

/** Result of a start with `debounce` or `throttle`. */
export interface SharedResult {
  readonly verdict: 'joined' | 'new' | 'exists' | 'withheld' | 'again';
  /** Id of the run that counts. */
  readonly runId: string;
  /** Nonce of the start that made the run. */
  readonly nonce: string;
  /** Name of the run's workflow. */
  readonly name: string;
  /** Time at which the run becomes due, if earlier than before; otherwise null. */
  readonly dueAt: number | null;
}

type ResultRow = [...[id: string, verdict: SharedResult['verdict'], runId: string, nonce: string, name: string], dueAt: number | null];

/** Reads the results of a flush: by the id in the row of the start. */
export function toSharedResults(text: string): Map<string, SharedResult> {
  const rows = JSON.parse(text) as ResultRow[];
  return new Map(rows.map(([id, verdict, runId, nonce, name, dueAt]) => [id, { verdict, runId, nonce, name, dueAt }]));
}
