/**
 * A subquery that gives `columns` of the run that goes on in the place of run `runId`: the run
 * itself, or the last run of its chain. It has no row when there is no such run. Two look-ups by
 * index, however often the run was continued.
 *
 * @param columns of `workflow_runs`, without an alias
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
