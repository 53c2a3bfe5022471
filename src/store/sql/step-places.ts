import type { Database, Statement } from '../database.js';

const TAKE: Statement = {
  name: 'durable_take_step_place',
  text: (schema, lockTimeout) =>
    `SELECT t FROM ${schema}.workflow_take_place($1, $2, $3, $4, $5::bigint) AS t${lockTimeout && ` WHERE true${lockTimeout}`}`,
};

/** A step that wants a place, or has one. */
export interface PlacedStep {
  readonly limit: string;
  readonly key: string;
  readonly runId: string;
  readonly stepKey: string;
}

/** Takes a place of a limit for a step. Returns false when all places are taken. */
export async function takeStepPlace(database: Database, sessionId: string, step: PlacedStep): Promise<boolean> {
  const [row] = await database.query<[boolean]>(TAKE, [step.limit, step.key, step.runId, step.stepKey, sessionId]);
  return row?.[0] === true;
}

const RELEASE: Statement = {
  name: 'durable_release_step_place',
  text: (schema, lockTimeout) =>
    `DELETE FROM ${schema}.workflow_step_places WHERE run_id = $1 AND step_key = $2 AND session_id = $3::bigint${lockTimeout}`,
};

/** Gives the place of a step back. */
export async function releaseStepPlace(database: Database, sessionId: string, step: PlacedStep): Promise<void> {
  await database.query(RELEASE, [step.runId, step.stepKey, sessionId]);
}

const RESERVE: Statement = {
  name: 'durable_reserve_slot',
  text: (schema, lockTimeout) =>
    `SELECT extract(epoch FROM s)::float8 * 1000 FROM ${schema}.workflow_reserve_slot($1, $2, $3) AS s${
      lockTimeout && ` WHERE true${lockTimeout}`
    }`,
};

/**
 * Reserves a slot of a rate limit. Returns the time at which the slot opens, in milliseconds since
 * the epoch by the database's clock; undefined without a rate limit.
 */
export async function reserveSlot(database: Database, kind: 'queue' | 'step', name: string, key: string): Promise<number | undefined> {
  const [row] = await database.query<[number | null]>(RESERVE, [kind, name, key]);
  return row?.[0] ?? undefined;
}
