import type { Database, Statement } from '../database.js';

/**
 * Builds a subquery that selects the current run of a chain: the run `runId`, or the last run that
 * continues it. The subquery returns no row when no run has this id. It costs two index lookups,
 * however often the run was continued.
 *
 * @param runId SQL expression of the id of the run
 * @param columns columns of `workflow_runs`, without an alias
 */
export function currentRunSql(schema: string, runId: string, columns: string): string {
  return `(
  SELECT last.* FROM (SELECT id, continued_as, coalesce(chain_nonce, start_nonce) AS chain FROM ${schema}.workflow_runs WHERE id = ${runId} OFFSET 0) AS named
  CROSS JOIN LATERAL (
    (SELECT ${columns} FROM ${schema}.workflow_runs WHERE id = named.id AND named.continued_as IS NULL LIMIT 1)
    UNION ALL
    (SELECT ${columns} FROM ${schema}.workflow_runs
      WHERE named.continued_as IS NOT NULL AND chain_nonce = named.chain AND chain_nonce IS NOT NULL AND continued_as IS NULL LIMIT 1)
  ) AS last
)`;
}

/**
 * Builds a common table expression `past`: a run and the runs that it continues, at most 1,000. A
 * message is a duplicate if one of these runs received its idempotency key.
 *
 * @param run SQL expression of the id of the run; with NULL, `past` is empty
 */
export function pastSql(schema: string, run: string): string {
  return `past AS (
  SELECT r.id, r.continued_from, 1 AS depth FROM ${schema}.workflow_runs r WHERE r.id = ${run}
  UNION ALL SELECT r.id, r.continued_from, past.depth + 1 FROM past JOIN ${schema}.workflow_runs r ON r.id = past.continued_from WHERE past.depth < 1000
)`;
}

const CURRENT: Statement = {
  name: 'durable_current_run',
  text: (schema) => `SELECT id FROM ${currentRunSql(schema, '$1', 'id')} AS current`,
};

/**
 * Returns the id of the last run that continues the given run, or of the given run itself.
 * Undefined when no run has this id.
 */
export async function readCurrentRun(database: Database, runId: string): Promise<string | undefined> {
  const [row] = await database.query<[string]>(CURRENT, [runId]);
  return row?.[0];
}

const MISSING: Statement = {
  name: 'durable_missing_links',
  text: (schema) => `SELECT named.id, last.continued_as FROM (
  SELECT id, coalesce(chain_nonce, start_nonce) AS chain FROM ${schema}.workflow_runs WHERE id = ANY ($1::text[]) AND continued_as IS NOT NULL
) AS named CROSS JOIN LATERAL (
  SELECT r.continued_as FROM (
    SELECT continued_as, created_at FROM ${schema}.workflow_runs WHERE id = named.id
    UNION ALL SELECT continued_as, created_at FROM ${schema}.workflow_runs WHERE chain_nonce = named.chain AND chain_nonce IS NOT NULL
  ) AS r WHERE r.continued_as IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ${schema}.workflow_runs WHERE id = r.continued_as) ORDER BY r.created_at DESC LIMIT 1
) AS last`,
};

/**
 * Finds runs whose last continuation was deleted. Maps the id of each such run to the id of the
 * deleted run. Other runs have no entry.
 */
export async function findMissingLinks(database: Database, runIds: readonly string[]): Promise<Map<string, string>> {
  return new Map(await database.query<[string, string]>(MISSING, [runIds]));
}

/**
 * Builds SQL for the status that users see. For a run that was continued, users see `continued`,
 * while the column contains `completed`.
 *
 * @param run alias of the row of `workflow_runs`
 */
export function shownStatusSql(run: string): string {
  return `CASE WHEN ${run}.continued_as IS NULL THEN ${run}.status ELSE 'continued' END`;
}

const SAME_CHAIN: Statement = {
  name: 'durable_same_chain',
  text: (schema) => `SELECT count(*)::int FROM ${schema}.workflow_runs a JOIN ${schema}.workflow_runs b
  ON coalesce(a.chain_nonce, a.start_nonce) = coalesce(b.chain_nonce, b.start_nonce) WHERE a.id = $1 AND b.id = $2`,
};

/** True when two runs belong to the same chain, in which each run continues the previous one. */
export async function areOneChain(database: Database, first: string, second: string): Promise<boolean> {
  const [row] = await database.query<[number]>(SAME_CHAIN, [first, second]);
  return row![0] === 1;
}
