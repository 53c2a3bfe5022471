import type { Database, Statement } from '../database.js';

/** A step body that is being executed. */
export interface ShownBody {
  readonly runId: string;
  readonly stepKey: string;
  readonly attempt: number;
  /** Start time, in milliseconds since the epoch. */
  readonly since: number;
}

const SHOW: Statement = {
  name: 'durable_show_bodies',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_sessions SET bodies = $2::json WHERE id = $1::bigint${lockTimeout}`,
};

/**
 * Writes the step bodies that a session is executing into its row, where other processes can read
 * them.
 *
 * @param bodies ShownBody[] as JSON, or null for none
 */
export async function showBodies(database: Database, sessionId: string, bodies: string | null): Promise<void> {
  await database.query(SHOW, [sessionId, bodies]);
}
