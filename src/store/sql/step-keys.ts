import { hasEscapeSql } from '../../core/step-key-format.js';
import type { Database, Statement } from '../database.js';

/** Maximum number of step keys with escaped characters that are read per run. */
const ESCAPED_SEEN = 10_000;

const FIND: Statement = {
  name: 'durable_find_step_key',
  text: (schema) => `SELECT s.step_key FROM ${schema}.workflow_steps s WHERE s.run_id = $1 AND s.step_key = $2`,
};

/** True when the run has recorded a step with exactly this key. */
export async function hasStep(database: Database, runId: string, stepKey: string): Promise<boolean> {
  return (await database.query(FIND, [runId, stepKey])).length > 0;
}

const ESCAPED: Statement = {
  name: 'durable_escaped_step_keys',
  text: (schema) => `SELECT s.step_key FROM ${schema}.workflow_steps s
WHERE s.run_id = $1 AND ${hasEscapeSql('s.step_key')} ORDER BY s.seq LIMIT ${ESCAPED_SEEN}`,
};

/** Lists the keys of a run's recorded steps that contain escaped characters. */
export async function listEscapedKeys(database: Database, runId: string): Promise<string[]> {
  return (await database.query<[string]>(ESCAPED, [runId])).map(([key]) => key);
}

const NEAR: Statement = {
  name: 'durable_near_step_keys',
  text: (schema) => `SELECT s.step_key FROM ${schema}.workflow_steps s
WHERE s.run_id = $1 AND s.kind NOT IN ('cancel', 'patch', 'compensating', 'compensated') ORDER BY NOT starts_with(s.step_key, $2), s.seq LIMIT $3::int`,
};

/**
 * Lists at most `limit` keys of the run's recorded steps. Keys that begin with `beginning` come
 * first. Within each of the two groups, keys have the order in which their steps were recorded.
 */
export async function listNearKeys(database: Database, runId: string, beginning: string, limit: number): Promise<string[]> {
  return (await database.query<[string]>(NEAR, [runId, beginning, limit])).map(([key]) => key);
}
