import { encodeTime } from 'ulid';

import type { RetentionRule } from '../../core/retention.js';
import type { Database, Statement } from '../../store/database.js';

/** Maximum number of runs or streams that one statement reads. */
const PAGE = 500;
/** Maximum number of runs that one statement removes: each may have thousands of events. */
const REMOVED = 25;

/** Place in the runs or streams, and what has been seen there. */
export interface RetentionPage {
  /** Key of the last row that was read; undefined at the end. */
  readonly after: string | undefined;
  readonly expired: string[];
  /** Number of rows that stay. */
  readonly left: number;
}

/** Statuses and milliseconds of a rule, for a comparison with the time at which a run ended. */
const EXPIRED = `r.completed_at < now() - CASE r.status WHEN 'completed' THEN $3::float8 WHEN 'failed' THEN $4::float8
  WHEN 'cancelled' THEN $5::float8 END * interval '1 millisecond'`;

/**
 * Reads a page of runs by id, which begins with the time of their creation. A run with a message
 * stays: the message of a start could create the run again.
 */
const SCAN_RUNS: Statement = {
  name: 'world_scan_expired_runs',
  text: (
    schema,
  ) => `SELECT r.run_id, COALESCE(${EXPIRED}, false) AND NOT EXISTS (SELECT FROM ${schema}.world_messages m WHERE m.run_id = r.run_id)
FROM ${schema}.world_runs r WHERE r.run_id > $1::text AND r.run_id < $2::text ORDER BY r.run_id LIMIT $6::int`,
};

/** Locks streams, and waits for writers of chunks: they hold the lock briefly. */
const LOCKED_STREAMS = (schema: string, found: string): string => `SELECT s.name FROM ${schema}.world_streams s
  WHERE ${found} AND (SELECT set_config('lock_timeout', '10s', true)) IS NOT NULL ORDER BY s.name FOR UPDATE`;

/**
 * Locks ended runs and their streams. Skips a run that is being written. The removal is a later
 * statement, which sees all chunks: those that a writer commits while this statement waits for the
 * lock would stay for ever.
 */
const LOCK_RUNS: Statement = {
  name: 'world_lock_expired_runs',
  text: (schema) => `WITH gone AS MATERIALIZED (
  SELECT r.run_id FROM ${schema}.world_runs r WHERE r.run_id = ANY ($1::text[]) AND r.completed_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM ${schema}.world_messages m WHERE m.run_id = r.run_id)
  ORDER BY r.run_id FOR UPDATE SKIP LOCKED),
streams AS MATERIALIZED (${LOCKED_STREAMS(schema, 's.run_id = ANY (ARRAY(SELECT gone.run_id FROM gone))')})
SELECT ARRAY(SELECT gone.run_id FROM gone), ARRAY(SELECT streams.name FROM streams)`,
};

/** Removes locked runs with everything that belongs to them. $2: the locked streams. */
const REMOVE_RUNS: Statement = {
  name: 'world_remove_runs',
  text: (schema) => {
    const ofGone = (table: string): string => `DELETE FROM ${schema}.${table} t WHERE t.run_id = ANY ($1::text[])`;
    return `WITH runs AS (${ofGone('world_runs')}), events AS (${ofGone('world_events')}), steps AS (${ofGone('world_steps')}),
hooks AS (${ofGone('world_hooks')}), waits AS (${ofGone('world_waits')}), ${removedStreams(schema, '$2')} SELECT`;
  },
};

/** Parts of a statement that remove locked streams with their chunks. */
function removedStreams(schema: string, names: string): string {
  return `streams AS (DELETE FROM ${schema}.world_streams s WHERE s.name = ANY (${names}::text[])),
chunks AS (DELETE FROM ${schema}.world_chunks c WHERE c.name = ANY (${names}::text[]))`;
}

/**
 * Reads a page of streams, and which of them belong to no run: those of probes, and those that a
 * step wrote after its run was removed.
 */
const SCAN_STREAMS: Statement = {
  name: 'world_scan_expired_streams',
  text: (schema) => `SELECT s.name, s.updated_at < now() - $2::float8 * interval '1 millisecond'
  AND NOT EXISTS (SELECT FROM ${schema}.world_runs r WHERE r.run_id = s.run_id)
FROM ${schema}.world_streams s WHERE s.name > $1::text ORDER BY s.name LIMIT $3::int`,
};

/** Locks streams without a run, as `LOCK_RUNS` does. */
const LOCK_STREAMS: Statement = {
  name: 'world_lock_expired_streams',
  text: (schema) => `WITH streams AS MATERIALIZED (${LOCKED_STREAMS(
    schema,
    `s.name = ANY ($1::text[]) AND NOT EXISTS (SELECT FROM ${schema}.world_runs r WHERE r.run_id = s.run_id)`,
  )})
SELECT ARRAY(SELECT streams.name FROM streams)`,
};

const REMOVE_STREAMS: Statement = {
  name: 'world_remove_streams',
  text: (schema) => `WITH ${removedStreams(schema, '$1')} SELECT`,
};

type ScannedRow = [key: string, isExpired: boolean];

/** Finds and removes what the retention of a World no longer keeps. */
export class RetentionStore {
  constructor(private readonly database: Database) {}

  /** Reads runs after a key that may have been created long enough ago. */
  async scanRuns(after: string, rule: RetentionRule, shortestMs: number): Promise<RetentionPage> {
    // A ULID begins with its time, so younger runs need not be read.
    const before = `wrun_${encodeTime(Math.max(0, Date.now() - shortestMs), 10)}`;
    const { completed = null, failed = null, cancelled = null } = rule;
    return pageOf(await this.database.query<ScannedRow>(SCAN_RUNS, [after, before, completed, failed, cancelled, PAGE]));
  }

  async scanStreams(after: string, ageMs: number): Promise<RetentionPage> {
    return pageOf(await this.database.query<ScannedRow>(SCAN_STREAMS, [after, ageMs, PAGE]));
  }

  /** Removes some of the runs. Returns those that are left to be removed. */
  removeRuns(runIds: string[]): Promise<string[]> {
    return this.remove(LOCK_RUNS, REMOVE_RUNS, runIds);
  }

  /** Removes some of the streams. Returns those that are left to be removed. */
  removeStreams(names: string[]): Promise<string[]> {
    return this.remove(LOCK_STREAMS, REMOVE_STREAMS, names);
  }

  private async remove(lock: Statement, remove: Statement, keys: string[]): Promise<string[]> {
    await this.database.transaction(async (client) => {
      const [locked] = await this.database.query<string[][]>(lock, [keys.slice(0, REMOVED)], client);
      await this.database.query(remove, locked!, client);
    });
    return keys.slice(REMOVED);
  }
}

function pageOf(rows: ScannedRow[]): RetentionPage {
  const expired = rows.filter(([, isExpired]) => isExpired).map(([key]) => key);
  return { after: rows.length < PAGE ? undefined : rows.at(-1)![0], expired, left: rows.length - expired.length };
}
