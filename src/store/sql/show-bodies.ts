import type { Database, Statement } from '../database.js';

/** An active body of a step. */
export interface ShownBody {
  readonly runId: string;
  readonly stepKey: string;
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

const SHOW: Statement = {
  name: 'durable_show_bodies',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_sessions SET bodies = $2::json WHERE id = $1::bigint${lockTimeout}`,
};

/**
 * Shows the step bodies that a session is executing.
 *
 * @param bodies ShownBody[] as JSON, or null for none
 */
export async function showBodies(database: Database, sessionId: string, bodies: string | null): Promise<void> {
  await database.query(SHOW, [sessionId, bodies]);
}
