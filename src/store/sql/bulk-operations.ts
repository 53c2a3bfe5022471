import type { PoolClient } from 'pg';

import type { RunConditions } from '../../core/run-filter.js';
import type { Database, Statement } from '../database.js';
import { conditionsSql, Parameters } from './run-conditions.js';
import { TERMINAL } from './run-status.js';

/** Kinds of actions on many runs. */
export type OperationKind = 'cancel' | 'terminate' | 'retry' | 'signal';

/** A signal for many runs. The payload is JSON text. */
export interface OperationSignal {
  readonly name: string;
  readonly payload: string;
}

const CREATE: Statement = {
  name: 'durable_create_operation',
  text: (schema) => `WITH old AS (
  DELETE FROM ${schema}.workflow_operations WHERE started_at IS NULL AND created_at < now() - interval '1 day'
)
INSERT INTO ${schema}.workflow_operations (token, kind, conditions, signal_name, payload, note, matched)
VALUES ($1, $2, $3::json, $4, $5::json, $6::json, $7::bigint)`,
};

/**
 * Records an operation whose runs have been counted. Nothing happens before the operation is
 * started. An operation that is not started is deleted after a day.
 */
export async function createOperation(
  database: Database,
  operation: {
    readonly token: string;
    readonly kind: OperationKind;
    readonly conditions: RunConditions;
    readonly signal: OperationSignal | null;
    readonly note: string;
    readonly matched: number;
  },
): Promise<void> {
  const { token, kind, conditions, signal, note, matched } = operation;
  await database.query(CREATE, [token, kind, JSON.stringify(conditions), signal?.name ?? null, signal?.payload ?? null, note, matched]);
}

const START: Statement = {
  name: 'durable_start_operation',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_operations SET started_at = now(), next_at = now(), rate = $3::float8
WHERE token = $1 AND kind = $2 AND started_at IS NULL AND finished_at IS NULL${lockTimeout}`,
};

/** Starts an operation that has not been started. */
export async function startOperation(database: Database, token: string, kind: OperationKind, rate: number | null): Promise<void> {
  await database.query(START, [token, kind, rate]);
}

/** Lock timeout that is longer than a part of an operation takes. */
const WAIT_FOR_PART = `SET LOCAL lock_timeout = '5s'`;

const STOP: Statement = {
  name: 'durable_stop_operation',
  text: (schema) => `UPDATE ${schema}.workflow_operations SET finished_at = now(), is_stopped = true
WHERE token = $1 AND finished_at IS NULL`,
};

/**
 * Ends an operation, also one that has only been counted. A part that is active completes first.
 */
export async function stopOperation(database: Database, token: string): Promise<void> {
  await database.transaction(async (client) => {
    await client.query(WAIT_FOR_PART);
    await database.query(STOP, [token], client);
  });
}

const READ: Statement = {
  name: 'durable_read_operation',
  text: (
    schema,
  ) => `SELECT kind, matched::float8, done::float8, skipped::float8, cardinality(locked), rate, extract(epoch FROM created_at)::float8 * 1000,
  extract(epoch FROM started_at)::float8 * 1000, extract(epoch FROM finished_at)::float8 * 1000, is_stopped
FROM ${schema}.workflow_operations WHERE token = $1`,
};

/** Progress of an operation. Times are in milliseconds. */
export interface OperationRow {
  readonly kind: OperationKind;
  readonly matched: number;
  readonly done: number;
  readonly skipped: number;
  /** Number of runs whose rows were locked. The operation tries them again. */
  readonly locked: number;
  readonly rate: number | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly isStopped: boolean;
}

export async function readOperation(database: Database, token: string): Promise<OperationRow | undefined> {
  type Row = [OperationKind, number, number, number, number, number | null, number, number | null, number | null, boolean];
  const [row] = await database.query<Row>(READ, [token]);
  if (!row) return undefined;
  const [kind, matched, done, skipped, locked, rate, createdAt, startedAt, finishedAt, isStopped] = row;
  return { kind, matched, done, skipped, locked, rate, createdAt, startedAt, finishedAt, isStopped };
}

const UNFINISHED: Statement = {
  name: 'durable_unfinished_operations',
  text: (
    schema,
  ) => `SELECT token, kind, conditions::text, signal_name, payload::text, note::text, rate, created_at::text, after_created_at::text, after_id, locked,
  extract(epoch FROM next_at - now())::float8 * 1000
FROM ${schema}.workflow_operations WHERE started_at IS NOT NULL AND finished_at IS NULL ORDER BY next_at LIMIT 20`,
};

/** A started operation, which continues after the last run that it has processed. */
export interface UnfinishedOperation {
  readonly token: string;
  readonly kind: OperationKind;
  readonly conditions: RunConditions;
  readonly signal: OperationSignal | null;
  /** JSON text that says who runs the operation and why. */
  readonly note: string;
  readonly rate: number | null;
  /** Time as PostgreSQL prints it. */
  readonly createdAt: string;
  readonly after: { readonly createdAt: string; readonly id: string } | null;
  /** Runs whose rows were locked when the operation reached them. */
  readonly locked: readonly string[];
  /** Milliseconds until the next part may start. Negative when it may start now. */
  readonly dueInMs: number;
}

export async function listUnfinished(database: Database): Promise<UnfinishedOperation[]> {
  type Row = [
    ...[token: string, kind: OperationKind, conditions: string, signal: string | null, payload: string | null, note: string],
    ...[rate: number | null, createdAt: string, afterAt: string | null, afterId: string | null, locked: string[], dueInMs: number],
  ];
  const rows = await database.query<Row>(UNFINISHED, []);
  return rows.map(([token, kind, conditions, signal, payload, note, rate, createdAt, afterAt, afterId, locked, dueInMs]) => ({
    token,
    kind,
    conditions: JSON.parse(conditions) as RunConditions,
    signal: signal === null || payload === null ? null : { name: signal, payload },
    note,
    rate,
    createdAt,
    after: afterAt === null || afterId === null ? null : { createdAt: afterAt, id: afterId },
    locked,
    dueInMs,
  }));
}

/** A run that an operation processes. */
export interface OperationTarget {
  readonly id: string;
  readonly createdAt: string;
}

/**
 * Selects the next runs that meet the conditions, among the runs that existed when the operation
 * was counted. Neither half of the order ever changes for a run, so that no run is processed twice.
 *
 * @throws QueryTimeoutError
 */
async function nextTargets(database: Database, operation: UnfinishedOperation, limit: number): Promise<OperationTarget[]> {
  const parameters = new Parameters();
  const matching = conditionsSql(operation.conditions, parameters, database.schema);
  const { after } = operation;
  // A cancellation must also reach the continuation of a run that was counted. A signal reaches the
  // continuation under the first run's key.
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

/** Client with the transaction of a part. */
export type PartClient = PoolClient;

/**
 * Result of a part: the number of processed runs, the number of runs skipped because they no longer
 * met the conditions, and the ids of runs whose rows were locked.
 */
export interface PartDone {
  readonly done: number;
  readonly skipped: number;
  readonly locked: readonly string[];
}

/** The next runs that an operation processes. */
export interface OperationPart {
  readonly ids: readonly string[];
  /**
   * Last of these runs in the operation's order. Undefined for a part that tries locked runs again.
   */
  readonly last: OperationTarget | undefined;
  /** Ids of other runs whose rows were locked. */
  readonly stillLocked: readonly string[];
  /** True when no run remains after this part. */
  readonly isLast: boolean;
  /** Milliseconds until the next part. */
  readonly pauseMs: number;
}

/**
 * Maximum number of locked runs that are remembered. A full list must shrink before the operation
 * continues.
 */
const MAX_LOCKED = 1_000;
/** Milliseconds until locked runs are tried again. */
const LOCKED_PAUSE_MS = 1_000;

/**
 * Selects the next runs of an operation. When all others are processed, selects those whose rows
 * were locked.
 */
export async function nextPart(database: Database, operation: UnfinishedOperation, most: number): Promise<OperationPart> {
  const { rate, locked } = operation;
  const limit = rate === null ? most : Math.max(1, Math.min(most, Math.floor(rate)));
  const pauseOf = (count: number): number => (rate === null ? 0 : (count / rate) * 1_000);
  const isFull = locked.length + limit > MAX_LOCKED;
  const targets = isFull ? [] : await nextTargets(database, operation, limit);
  // Sorted, because every statement locks runs in the order of their ids.
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
 * Selects the runs that still meet the conditions, among runs that a part has not reached: their
 * rows are locked.
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
 * Executes a part of an operation. The action on its runs and its progress commit together, so that
 * no run is processed twice. The operation is finished with its last part, unless rows are locked.
 * Returns false when another process has executed the part or is executing it.
 *
 * @param work the action, executed in the transaction
 */
export async function doPart(
  database: Database,
  operation: UnfinishedOperation,
  part: OperationPart,
  work: (client: PoolClient) => Promise<PartDone>,
): Promise<boolean> {
  return database.transaction(async (client) => {
    // A run that is locked for a moment must not force the whole part to be repeated.
    await client.query(WAIT_FOR_PART);
    const own = await database.query(LOCK, [operation.token, operation.after?.id ?? null, operation.locked], client);
    if (own.length === 0) return false;
    const { done, skipped, locked: found } = await work(client);
    const { last, pauseMs } = part;
    const locked = [...part.stillLocked, ...found];
    const isFinished = part.isLast && locked.length === 0;
    const values = [operation.token, done, skipped, last?.createdAt ?? null, last?.id ?? null, pauseMs, locked, isFinished];
    await database.query(ADVANCE, values, client);
    return true;
  });
}
