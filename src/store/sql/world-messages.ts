import type { Database } from '../database.js';

/** Messages of one deployment in the queue of a World that need attention. */
export interface WorldBacklog {
  readonly deploymentId: string;
  /** Number of messages that have been due for a minute. */
  readonly overdue: number;
  /** Number of messages of which five deliveries or more have failed. */
  readonly failing: number;
}

/** Reads the messages that nobody delivers, or whose deliveries fail, by deployment. */
export async function readWorldBacklog(database: Database): Promise<WorldBacklog[]> {
  const rows = await database.read<[string, number, number]>(
    `SELECT deployment_id, count(*) FILTER (WHERE due_at < now() - interval '1 minute')::int, count(*) FILTER (WHERE failures >= 5)::int
FROM ${database.schema}.world_messages WHERE due_at < now() - interval '1 minute' OR failures >= 5 GROUP BY 1 ORDER BY 1`,
    [],
  );
  return rows.map(([deploymentId, overdue, failing]) => ({ deploymentId, overdue, failing }));
}
