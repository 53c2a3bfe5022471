import type { Database, Statement } from '../database.js';

const FREE: Statement = {
  name: 'durable_free_runs',
  text: (schema) => `SELECT x.id, r.id IS NOT NULL FROM unnest($1::text[]) AS x(id)
LEFT JOIN LATERAL (SELECT id FROM ${schema}.workflow_runs WHERE id = x.id FOR NO KEY UPDATE SKIP LOCKED) AS r ON true
WHERE (SELECT true FROM ${schema}.workflow_runs WHERE id = x.id)`,
};

/** Selects the runs whose rows other transactions have locked. Never waits for a lock. */
export async function findLockedRuns(database: Database, ids: readonly string[]): Promise<Set<string>> {
  const rows = await database.query<[string, boolean]>(FREE, [ids]);
  return new Set(rows.filter(([, free]) => !free).map(([id]) => id));
}
