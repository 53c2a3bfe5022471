import type { RetentionRule } from '../../core/retention.js';
import type { Database, Statement } from '../database.js';
import { isKeptSql } from './retention-conditions.js';
import { TERMINAL } from './run-status.js';

/** Number of runs with streams that one statement reads. */
const SCANNED_RUNS = 200;
/** Number of chunks that one statement deletes. */
export const DELETED_CHUNKS = 1_000;

const TAKE: Statement = {
  name: 'durable_take_stream_turn',
  text: (schema, lockTimeout) => `INSERT INTO ${schema}.workflow_retention AS t (id, streams_next_at)
SELECT 1, now() + $1::float8 * interval '1 millisecond' WHERE true${lockTimeout}
ON CONFLICT (id) DO UPDATE SET streams_next_at = excluded.streams_next_at WHERE coalesce(t.streams_next_at, '-infinity') <= now()
RETURNING coalesce(streams_after, '')`,
};

const END: Statement = {
  name: 'durable_end_stream_turn',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_retention
SET streams_next_at = now() + $1::float8 * interval '1 millisecond', streams_after = $2 WHERE id = 1${lockTimeout}`,
};

/**
 * Takes the turn to remove chunks. Returns the id of the last run that was read in this round, or
 * an empty text; undefined while another process has the turn, or between two rounds.
 *
 * @param leaseMs milliseconds after which the turn of a process that died is free
 */
export async function takeStreamTurn(database: Database, leaseMs: number): Promise<string | undefined> {
  const [row] = await database.query<[string]>(TAKE, [leaseMs]);
  return row?.[0];
}

/** Stores the progress, and lets a process begin the next turn after the pause. */
export async function endStreamTurn(database: Database, after: string, pauseMs: number): Promise<void> {
  await database.query(END, [pauseMs, after]);
}

/**
 * Builds a condition that is true for a run `r` whose chunks may be removed.
 *
 * @param rule place of the rule among the parameters of the statement
 */
const isOverSql = (schema: string, rule: string): string => `r.status IN ${TERMINAL}
      AND r.finished_at < now() - (${rule}::jsonb ->> r.status)::float8 * interval '1 millisecond' AND NOT ${isKeptSql(schema, 'r')}`;

/**
 * Finds the runs with streams in the order of their ids, one lookup in the primary key for each.
 * Also finds one stream of each ended run whose chunks may be removed.
 */
const SCAN: Statement = {
  name: 'durable_scan_streams',
  text: (schema) => {
    const next = (after: string): string =>
      `SELECT c.run_id FROM ${schema}.workflow_stream_chunks c WHERE c.run_id > ${after} ORDER BY c.run_id LIMIT 1`;
    return `WITH RECURSIVE runs AS (
  (SELECT run_id, 1 AS number FROM (${next('$1::text')}) AS first)
  UNION ALL
  SELECT (${next('runs.run_id')}), number + 1 FROM runs WHERE runs.run_id IS NOT NULL AND number < ${SCANNED_RUNS}
)
SELECT runs.run_id, (
  SELECT k.stream FROM (
    SELECT r.id FROM ${schema}.workflow_runs r WHERE r.id = runs.run_id AND ${isOverSql(schema, '$2')} LIMIT 1
  ) AS over CROSS JOIN LATERAL (
    SELECT c.stream FROM ${schema}.workflow_stream_chunks c WHERE c.run_id = over.id AND c.expired_at IS NULL ORDER BY c.stream, c.seq LIMIT 1
  ) AS k
) FROM runs WHERE runs.run_id IS NOT NULL ORDER BY runs.number`;
  },
};

/** A run with streams, in the order of ids. */
export interface ScannedStreams {
  readonly runId: string;
  /** A stream whose chunks may be removed; undefined when the run has no such stream. */
  readonly stream: string | undefined;
}

/** Result of reading the next runs with streams. */
export interface StreamScan {
  readonly runs: readonly ScannedStreams[];
  readonly rest: 'none' | 'some';
}

/**
 * Reads the next runs with streams.
 *
 * @param after id of the last run that was read
 */
export async function scanStreams(database: Database, after: string, rule: RetentionRule): Promise<StreamScan> {
  const rows = await database.query<[string, string | null]>(SCAN, [after, JSON.stringify(rule)]);
  const runs = rows.map(([runId, stream]) => ({ runId, stream: stream ?? undefined }));
  return { runs, rest: rows.length === SCANNED_RUNS ? 'some' : 'none' };
}

/**
 * Marks the last row of a stream, and removes the value from it. The mark comes before the
 * deletions, so that no reader mistakes the remaining rows for the whole stream.
 *
 * The statement checks the run again, because an operator may have retried the run since the
 * scan. Chunks that the retried run writes come after the marked row of this snapshot.
 */
const MARK: Statement = {
  name: 'durable_expire_stream',
  text: (schema, lockTimeout) => `WITH last AS MATERIALIZED (
  SELECT seq FROM ${schema}.workflow_stream_chunks WHERE run_id = $1 AND stream = $2
    AND (SELECT true FROM ${schema}.workflow_runs r WHERE r.id = $1 AND ${isOverSql(schema, '$3')} LIMIT 1) IS NOT NULL
  ORDER BY seq DESC LIMIT 1 FOR UPDATE SKIP LOCKED
), marked AS (
  UPDATE ${schema}.workflow_stream_chunks t SET data = NULL, expired_at = coalesce(t.expired_at, now()) FROM last
  WHERE t.run_id = $1 AND t.stream = $2 AND t.seq = last.seq RETURNING 1
)
SELECT seq::text FROM last WHERE (SELECT count(*) FROM marked) > 0${lockTimeout}`,
};

/**
 * Deletes the chunks before the marked one, the highest first. At any time, the remaining rows are
 * the beginning of the stream, without gaps, and the mark. SKIP LOCKED prevents deadlocks with the
 * deletion of the run.
 */
const DELETE: Statement = {
  name: 'durable_delete_expired_chunks',
  text: (schema, lockTimeout) => `WITH old AS MATERIALIZED (
  SELECT run_id, stream, seq FROM ${schema}.workflow_stream_chunks WHERE run_id = $1 AND stream = $2 AND seq < $3::bigint
  ORDER BY seq DESC LIMIT ${DELETED_CHUNKS} FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM ${schema}.workflow_stream_chunks t USING old
  WHERE t.run_id = ANY (ARRAY[old.run_id]) AND t.stream = ANY (ARRAY[old.stream]) AND t.seq = ANY (ARRAY[old.seq]) RETURNING 1
)
SELECT count(*)::int FROM deleted${lockTimeout && ` WHERE true${lockTimeout}`}`,
};

/**
 * Marks a stream as removed. Returns the place of the mark, as text; undefined when the run is
 * being deleted, or its chunks must stay.
 */
export async function markStreamExpired(
  database: Database,
  { runId, stream }: { readonly runId: string; readonly stream: string },
  rule: RetentionRule,
): Promise<string | undefined> {
  const [row] = await database.query<[string]>(MARK, [runId, stream, JSON.stringify(rule)]);
  return row?.[0];
}

/** Deletes chunks before the mark, at most `DELETED_CHUNKS`. Returns their number. */
export async function deleteExpiredChunks(database: Database, runId: string, stream: string, mark: string): Promise<number> {
  const [row] = await database.query<[number]>(DELETE, [runId, stream, mark]);
  return row?.[0] ?? 0;
}
