import type { Database, Statement } from '../database.js';
import { SERVER } from './server-identity.js';

/** The lock is refused by a server that still follows another, and so may be behind. `max(seq)` reads the run's part of the primary key. */
const COMPARE: Statement = {
  name: 'durable_compare_runs',
  text: (schema) => `WITH session AS MATERIALIZED (SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint FOR KEY SHARE)
SELECT ${SERVER}, (SELECT count(*) FROM session)::int, x.id, r.epoch, r.session_id IS NOT DISTINCT FROM $1::bigint, steps.last
FROM (VALUES (1)) AS one
LEFT JOIN unnest($2::text[]) AS x(id) ON true
LEFT JOIN LATERAL (SELECT epoch, session_id FROM ${schema}.workflow_runs WHERE id = x.id LIMIT 1) AS r ON true
LEFT JOIN LATERAL (SELECT max(seq) AS last FROM ${schema}.workflow_steps WHERE run_id = x.id) AS steps ON true`,
};

/** What the server has of a run. */
export interface StoredRun {
  readonly epoch: number;
  /** Whether the session owns it. */
  readonly isOwned: boolean;
  /** The last result that is recorded, 0 when there is none. */
  readonly lastSeq: number;
}

/** What the server that answers has of a session and its runs. Runs that are not there have no entry. */
export interface ServerView {
  readonly server: string;
  readonly hasSession: boolean;
  readonly runs: ReadonlyMap<string, StoredRun>;
}

/** Reads in one statement, and so from one server, what is there of a session and of these runs. */
export async function viewRuns(database: Database, sessionId: string, runIds: readonly string[]): Promise<ServerView> {
  const rows = await database.query<[string, number, string | null, number | null, boolean, number | null]>(COMPARE, [sessionId, runIds]);
  const runs = new Map<string, StoredRun>();
  for (const [, , id, epoch, isOwned, last] of rows)
    if (id !== null && epoch !== null) runs.set(id, { epoch, isOwned, lastSeq: last ?? 0 });
  const [server, sessions] = rows[0]!;
  return { server, hasSession: sessions === 1, runs };
}
