import type { ClientBase } from 'pg';

import type { Database, Statement } from '../database.js';
import { changeInTransaction } from '../many-runs.js';

const handBackText = (schema: string, narrow: string): string => `WITH mine AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_runs WHERE status = 'running' AND session_id = $1::bigint${narrow} ORDER BY id FOR NO KEY UPDATE
)
UPDATE ${schema}.workflow_runs r SET status = 'pending', session_id = NULL, ready_at = now() FROM mine WHERE r.id = ANY (ARRAY[mine.id]) RETURNING r.id`;

const HAND_BACK: Statement = { name: 'durable_hand_back', text: (schema) => handBackText(schema, '') };
const HAND_BACK_ONLY: Statement = {
  name: 'durable_hand_back_only',
  text: (schema) => handBackText(schema, ' AND id = ANY ($2::text[])'),
};

const LOCK_OWNED: Statement = {
  name: 'durable_lock_owned_runs',
  text: (schema) =>
    `SELECT id FROM ${schema}.workflow_runs WHERE status = 'running' AND session_id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE`,
};

/**
 * Lists the ids of sessions that no longer exist but still own running runs. Reads one index entry
 * per session, however many runs each session owns.
 */
const MISSING_OWNERS: Statement = {
  name: 'durable_missing_owners',
  text: (schema) => {
    const next = (condition: string): string =>
      `(SELECT session_id FROM ${schema}.workflow_runs WHERE status = 'running' AND ${condition} ORDER BY session_id LIMIT 1)`;
    return `WITH RECURSIVE owners AS (
  SELECT ${next('session_id IS NOT NULL')} AS id
  UNION ALL SELECT ${next('session_id > owners.id')} FROM owners WHERE owners.id IS NOT NULL
)
SELECT id::text FROM owners WHERE id IS NOT NULL AND (SELECT true FROM ${schema}.workflow_sessions s WHERE s.id = owners.id LIMIT 1) IS NULL LIMIT 100`;
  },
};

/**
 * Makes all running runs of a session due, so that other workers can claim them. The transaction
 * must have deleted the session's row. Returns the ids of the runs.
 */
export async function handBackAll(database: Database, client: ClientBase, sessionId: string): Promise<string[]> {
  return (await database.query<[string]>(HAND_BACK, [sessionId], client)).map(([id]) => id);
}

/**
 * Makes the running runs of a session due as `handBackAll` does, except runs that the database
 * refuses to change. Returns the ids of the runs that are due now.
 */
export async function handBackWritable(database: Database, client: ClientBase, sessionId: string): Promise<string[]> {
  const change = async (ids: readonly string[]): Promise<string[]> =>
    (await database.query<[string]>(HAND_BACK_ONLY, [sessionId, ids], client)).map(([id]) => id);
  return changeOwned(database, client, [sessionId], change);
}

/**
 * Locks all running runs of the sessions, calls `change` with their ids, and returns its results.
 * Leaves out runs that the database refuses to change.
 */
export async function changeOwned<T>(
  database: Database,
  client: ClientBase,
  sessionIds: readonly string[],
  change: (ids: readonly string[]) => Promise<readonly T[]>,
): Promise<T[]> {
  const owned = (await database.query<[string]>(LOCK_OWNED, [sessionIds], client)).map(([id]) => id);
  return changeInTransaction(client, owned, change, (id, error) => database.unwritable.refused(HAND_BACK.name, id, error));
}

/**
 * Makes running runs due whose session no longer exists. Such runs remain when a session is closed
 * or taken over while the database refuses to change them. Returns the ids of the runs that are due
 * now.
 */
export async function handBackOwnerless(database: Database): Promise<string[]> {
  const handedBack: string[] = [];
  for (const [sessionId] of await database.query<[string]>(MISSING_OWNERS, [])) {
    const ids = await database.transaction((client) => handBackWritable(database, client, sessionId));
    for (const id of ids) database.unwritable.written(HAND_BACK.name, id);
    handedBack.push(...ids);
  }
  return handedBack;
}
