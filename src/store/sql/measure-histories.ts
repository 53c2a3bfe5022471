import type { Database, Statement } from '../database.js';
import { stepBytesSql } from './step-bytes.js';

/**
 * Computes the sizes of histories in the same way as the column `history_bytes`.
 */
const MEASURE: Statement = {
  name: 'durable_measure_histories',
  text: (schema) => `SELECT x.id, s.bytes FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT coalesce(sum(${stepBytesSql()}), 0)::float8 AS bytes
  FROM ${schema}.workflow_steps WHERE run_id = x.id OFFSET 0
) AS s`,
};

/**
 * Measures the histories of runs whose owners died before they could record the size. Returns the
 * bytes by run id.
 */
export async function measureHistories(database: Database, runIds: readonly string[]): Promise<Map<string, number>> {
  return new Map(await database.query<[string, number]>(MEASURE, [runIds]));
}
