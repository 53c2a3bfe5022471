import type { Database, Statement } from '../database.js';
import { SERVER } from './server-identity.js';

/**
 * Reads the runs, and locks the session's row. A standby refuses the lock, so that its data, which
 * may be older than the data of the primary, is never read. For `max(seq)`, the primary key finds
 * the steps of a run.
 */
const COMPARE: Statement = {
  name: 'durable_compare_runs',
  text: (schema) => `WITH session AS MATERIALIZED (SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint FOR KEY SHARE)
SELECT ${SERVER}, (SELECT count(*) FROM session)::int, x.id, r.epoch, r.session_id IS NOT DISTINCT FROM $1::bigint, steps.last
FROM (VALUES (1)) AS one
LEFT JOIN unnest($2::text[]) AS x(id) ON true
LEFT JOIN LATERAL (SELECT epoch, session_id FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) AS r ON true
LEFT JOIN LATERAL (SELECT max(seq) AS last FROM ${schema}.workflow_steps WHERE run_id = x.id) AS steps ON true`,
};

/** State of a run as the database has it. */
export interface StoredRun {
  readonly epoch: number;
  /** True when the session owns the run. */
  readonly isOwned: boolean;
  /** Sequence number of the last recorded step of the run; 0 when no step is recorded. */
  readonly lastSeq: number;
}

/**
 * A session and its runs, as the database server that answered has them. Runs that do not exist
 * have no entry.
 */
export interface ServerView {
  readonly server: string;
  readonly hasSession: boolean;
  readonly runs: ReadonlyMap<string, StoredRun>;
}

/** Reads the session and these runs in one statement, so that all values come from one server. */
export async function viewRuns(database: Database, sessionId: string, runIds: readonly string[]): Promise<ServerView> {
  const rows = await database.query<[string, number, string | null, number | null, boolean, number | null]>(COMPARE, [sessionId, runIds]);
  const runs = new Map<string, StoredRun>();
  for (const [, , id, epoch, isOwned, last] of rows)
    if (id !== null && epoch !== null) runs.set(id, { epoch, isOwned, lastSeq: last ?? 0 });
  const [server, sessions] = rows[0]!;
  return { server, hasSession: sessions === 1, runs };
}
