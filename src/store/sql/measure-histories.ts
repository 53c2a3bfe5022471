import type { Database, Statement } from '../database.js';

/** Measures as `history_bytes` does: payloads, plus a fixed size per step. */
const MEASURE: Statement = {
  name: 'durable_measure_histories',
  text: (schema) => `SELECT x.id, s.bytes FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT coalesce(sum(150 + coalesce(octet_length(output::text), 0) + coalesce(octet_length(error::text), 0)), 0)::float8 AS bytes
  FROM ${schema}.workflow_steps WHERE run_id = x.id OFFSET 0
) AS s`,
};

/** Measures histories of runs whose owners died before they could record the size. */
export async function measureHistories(database: Database, runIds: readonly string[]): Promise<Map<string, number>> {
  return new Map(await database.query<[string, number]>(MEASURE, [runIds]));
}
