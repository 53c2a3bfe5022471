import type { PoolClient } from 'pg';

import type { Database, Statement } from '../database.js';
import { forgetDeleted, WAIT_FOR_PART, type UnfinishedOperation } from './bulk-operations.js';
import { conditionsSql, Parameters } from './run-conditions.js';
import { TERMINAL } from './run-status.js';

/** A run that a bulk operation processes. */
export interface OperationTarget {
  readonly id: string;
  readonly createdAt: string;
}

/**
 * Selects the next runs that meet the conditions and existed when the operation counted its runs.
 * The runs are ordered by creation time and id. Both never change, so that no run is processed
 * twice.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
async function nextTargets(database: Database, operation: UnfinishedOperation, limit: number): Promise<OperationTarget[]> {
  const parameters = new Parameters();
  const matching = conditionsSql(operation.conditions, parameters, database.schema);
  const { after } = operation;
  // A counted run may have been continued by a new run since. A cancellation must reach the new run
  // too, so the creation time of the whole chain counts. A signal needs no such rule, because a
  // signal to the counted run is delivered to the new run.
  const beganAt =
    operation.kind === 'cancel' || operation.kind === 'terminate' ? 'coalesce(r.chain_created_at, r.created_at)' : 'r.created_at';
  const later =
    after === null
      ? ''
      : `AND (r.created_at, r.id) > (${parameters.add(after.createdAt, 'text')}::timestamptz, ${parameters.add(after.id, 'text')})`;
  const text = `SELECT r.id, r.created_at::text FROM ${database.schema}.workflow_runs r
WHERE ${matching} AND ${beganAt} <= ${parameters.add(operation.createdAt, 'text')}::timestamptz ${later}
ORDER BY r.created_at, r.id LIMIT ${parameters.add(limit, 'int')}`;
  const rows = await database.read<[string, string]>(text, parameters.values);
  return rows.map(([id, createdAt]) => ({ id, createdAt }));
}

const LOCK: Statement = {
  name: 'durable_lock_operation',
  text: (schema) => `SELECT 1 FROM ${schema}.workflow_operations
WHERE token = $1 AND finished_at IS NULL AND after_id IS NOT DISTINCT FROM $2::text AND locked = $3::text[] FOR UPDATE SKIP LOCKED`,
};

const ADVANCE: Statement = {
  name: 'durable_advance_operation',
  text: (schema) => `UPDATE ${schema}.workflow_operations SET
  done = done + $2::int, skipped = skipped + $3::int,
  after_created_at = coalesce($4::text::timestamptz, after_created_at), after_id = coalesce($5::text, after_id),
  next_at = now() + $6::float8 * interval '1 millisecond', locked = $7::text[], finished_at = CASE WHEN $8::boolean THEN now() END
WHERE token = $1`,
};

/** Client whose open transaction executes one part (a batch of runs) of a bulk operation. */
export type PartClient = PoolClient;

/**
 * Result of one part (a batch of runs) of an operation. `done` counts the processed runs, and
 * `skipped` the runs that no longer met the conditions. `locked` lists the ids of runs whose rows
 * were locked.
 */
export interface PartDone {
  readonly done: number;
  readonly skipped: number;
  readonly locked: readonly string[];
}

/** One part of an operation: the next runs that it processes together. */
export interface OperationPart {
  readonly ids: readonly string[];
  /**
   * The last run of this part, by creation time and id. Undefined when this part only tries locked
   * runs again.
   */
  readonly last: OperationTarget | undefined;
  /** Ids of runs outside this part whose rows were locked earlier. */
  readonly stillLocked: readonly string[];
  /** True when the operation has no further runs, apart from runs whose rows are locked. */
  readonly isLast: boolean;
  /** Milliseconds until the next part may start. */
  readonly pauseMs: number;
}

/**
 * Maximum number of runs with locked rows that an operation remembers. When the list is full, the
 * operation tries these runs again before it processes new ones.
 */
const MAX_LOCKED = 1_000;
/** Milliseconds until runs with locked rows are tried again. */
const LOCKED_PAUSE_MS = 1_000;

/**
 * Selects the next runs of an operation. Selects runs with locked rows instead when all other runs
 * are processed, or when too many locked runs are remembered.
 */
export async function nextPart(database: Database, operation: UnfinishedOperation, most: number): Promise<OperationPart> {
  const { rate, locked } = operation;
  const limit = rate === null ? most : Math.max(1, Math.min(most, Math.floor(rate)));
  const pauseOf = (count: number): number => (rate === null ? 0 : (count / rate) * 1_000);
  const isFull = locked.length + limit > MAX_LOCKED;
  const targets = isFull ? [] : await nextTargets(database, operation, limit);
  // Sorted: every statement locks runs in the order of their ids, which prevents deadlocks.
  if (targets.length > 0 || locked.length === 0) {
    const ids = targets.map(({ id }) => id).sort();
    return { ids, last: targets.at(-1), stillLocked: locked, isLast: targets.length === 0, pauseMs: pauseOf(ids.length) };
  }
  const ids = locked.slice(0, limit).sort();
  const pauseMs = Math.max(pauseOf(ids.length), LOCKED_PAUSE_MS);
  return { ids, last: undefined, stillLocked: locked.slice(limit), isLast: !isFull, pauseMs };
}

const UNFINISHED_RUNS: Statement = {
  name: 'durable_operation_locked',
  text: (schema) => `SELECT r.id FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (
  SELECT id FROM ${schema}.workflow_runs WHERE id = x.id AND CASE WHEN $2::boolean THEN status = 'failed'
    ELSE status NOT IN ${TERMINAL} END LIMIT 1
) AS r`,
};

/**
 * Selects those of the given runs to which the action still applies. The action did not change
 * them, because their rows were locked.
 */
export async function findUnreached(
  database: Database,
  ids: readonly string[],
  kind: 'retry' | 'terminate',
  client: PartClient,
): Promise<string[]> {
  if (ids.length === 0) return [];
  return (await database.query<[string]>(UNFINISHED_RUNS, [ids, kind === 'retry'], client)).map(([id]) => id);
}

/**
 * Executes one part (a batch of runs) of an operation. The changes to the runs and the operation's
 * progress commit together, so that no run is processed twice. The last part finishes the
 * operation, unless rows of its runs are locked. Returns false when another process has executed
 * the part or is executing it.
 *
 * @param work changes the runs of the part in the given transaction
 */
export async function doPart(
  database: Database,
  operation: UnfinishedOperation,
  part: OperationPart,
  work: (client: PoolClient) => Promise<PartDone>,
): Promise<boolean> {
  return database.transaction(async (client) => {
    // Waits longer for locks than other statements: a row that is locked for a moment must not
    // force the whole part to be repeated.
    await client.query(WAIT_FOR_PART);
    const own = await database.query(LOCK, [operation.token, operation.after?.id ?? null, operation.locked], client);
    if (own.length === 0) return false;
    const { done, skipped, locked: found } = await work(client);
    const { last, pauseMs } = part;
    const locked = [...part.stillLocked, ...found];
    const isFinished = part.isLast && locked.length === 0;
    const values = [operation.token, done, skipped, last?.createdAt ?? null, last?.id ?? null, pauseMs, locked, isFinished];
    await database.query(ADVANCE, values, client);
    if (isFinished && operation.kind === 'delete') await forgetDeleted(database, operation.token, client);
    return true;
  });
}
