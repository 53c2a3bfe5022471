import type { ClientBase } from 'pg';

import type { RunConditions } from '../../core/run-filter.js';
import type { Database, Statement } from '../database.js';

/** Kinds of actions on many runs. */
export type OperationKind = 'cancel' | 'terminate' | 'retry' | 'signal' | 'delete';

/** A signal for many runs. The payload is JSON text. */
export interface OperationSignal {
  readonly name: string;
  readonly payload: string;
}

/**
 * Days for which a finished operation is kept. Its conditions may contain personal data, such as
 * tags.
 */
const KEPT_DAYS = 30;

/**
 * SQL that removes what an operation knows about deleted runs. An operation that deletes runs must
 * not keep their tags and ids.
 */
const FORGET = `conditions = CASE WHEN kind = 'delete' THEN '{}' ELSE conditions END,
  after_created_at = CASE WHEN kind = 'delete' THEN NULL ELSE after_created_at END, after_id = CASE WHEN kind = 'delete' THEN NULL ELSE after_id END`;

const FINISH: Statement = {
  name: 'durable_forget_operation',
  text: (schema) => `UPDATE ${schema}.workflow_operations SET ${FORGET} WHERE token = $1 AND finished_at IS NOT NULL`,
};

/** Removes what a finished operation knows about the runs that it has deleted. */
export async function forgetDeleted(database: Database, token: string, client: ClientBase): Promise<void> {
  await database.query(FINISH, [token], client);
}

/**
 * Encodes the conditions of an operation. A worker of an earlier version does not know the kind
 * `delete`, and would retry the runs. The conditions of a deletion are wrapped, so that such a
 * worker cannot read them: it logs an error, and leaves the operation to other workers.
 */
function encodeConditions(kind: OperationKind, conditions: RunConditions): string {
  return JSON.stringify(kind === 'delete' ? { name: 'needs a worker that knows bulk.delete', deleted: conditions } : conditions);
}

function decodeConditions(text: string): RunConditions {
  const conditions = JSON.parse(text) as RunConditions & { deleted?: RunConditions };
  return conditions.deleted ?? conditions;
}

const CREATE: Statement = {
  name: 'durable_create_operation',
  text: (schema) => `WITH old AS (
  DELETE FROM ${schema}.workflow_operations
  WHERE (started_at IS NULL AND created_at < now() - interval '1 day') OR finished_at < now() - interval '${KEPT_DAYS} days'
)
INSERT INTO ${schema}.workflow_operations (token, kind, conditions, signal_name, payload, note, matched)
VALUES ($1, $2, $3::json, $4, $5::json, $6::json, $7::bigint)`,
};

/**
 * Records a bulk operation after its runs have been counted. No run is changed before the operation
 * is started. An operation that is not started is deleted after a day, and a finished one after 30
 * days.
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
  await database.query(CREATE, [
    token,
    kind,
    encodeConditions(kind, conditions),
    signal?.name ?? null,
    signal?.payload ?? null,
    note,
    matched,
  ]);
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

/**
 * Sets a lock timeout longer than the time that one part (a batch of runs) of an operation takes.
 */
export const WAIT_FOR_PART = `SET LOCAL lock_timeout = '5s'`;

const STOP: Statement = {
  name: 'durable_stop_operation',
  text: (schema) => `UPDATE ${schema}.workflow_operations SET finished_at = now(), is_stopped = true, ${FORGET}
WHERE token = $1 AND finished_at IS NULL`,
};

/**
 * Ends an operation, even one that has not been started. Waits for a part (a batch of runs) that is
 * being executed.
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

/** Progress of a bulk operation. Times are in milliseconds since the epoch. */
export interface OperationRow {
  readonly kind: OperationKind;
  readonly matched: number;
  readonly done: number;
  readonly skipped: number;
  /** Number of runs whose rows were locked. The operation tries them again. */
  readonly locked: number;
  /** Maximum number of runs per second; null for no limit. */
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

/**
 * A bulk operation that was started and has not finished. It continues after the last run that it
 * has processed.
 */
export interface UnfinishedOperation {
  readonly token: string;
  readonly kind: OperationKind;
  readonly conditions: RunConditions;
  readonly signal: OperationSignal | null;
  /** JSON text that says who started the operation and why. */
  readonly note: string;
  /** Maximum number of runs per second; null for no limit. */
  readonly rate: number | null;
  /** Time as PostgreSQL prints it. */
  readonly createdAt: string;
  readonly after: { readonly createdAt: string; readonly id: string } | null;
  /** Runs whose rows were locked when the operation reached them. */
  readonly locked: readonly string[];
  /**
   * Milliseconds until the next part (a batch of runs) may start. Negative when it may start now.
   */
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
    conditions: decodeConditions(conditions),
    signal: signal === null || payload === null ? null : { name: signal, payload },
    note,
    rate,
    createdAt,
    after: afterAt === null || afterId === null ? null : { createdAt: afterAt, id: afterId },
    locked,
    dueInMs,
  }));
}
