import type { RetentionRules } from '../../core/retention.js';
import { shortestRetention } from '../../core/retention.js';
import type { ShownStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { shownStatusSql } from './chains.js';
import type { EndedLife } from './delete-runs.js';
import { chainHasEndedSql, goesWithParentSql, isDeletedByRetentionSql } from './retention-conditions.js';

/** Number of runs that one statement reads while it searches for expired runs. */
export const SCANNED_RUNS = 1_000;

/** Place of a run in the order of creation. The time is as PostgreSQL prints it. */
export interface ScanPlace {
  readonly createdAt: string;
  readonly id: string;
}

/** Place before all runs. */
export const SCAN_START: ScanPlace = { createdAt: '-infinity', id: '' };

/**
 * Number of runs that one lookup in the index reads. For more, the planner may estimate that it is
 * cheaper to read and sort the whole table.
 */
const LOOKUP_RUNS = 20;

/** Builds SQL for the next runs after a place, through the index for listings. */
function nextRunsSql(schema: string, createdAt: string, id: string): string {
  return `SELECT row_number() OVER (ORDER BY r.created_at, r.id) AS number, r.* FROM (
    SELECT id, created_at, name, version, status, finished_at, parent_run_id, continued_as, continued_from, start_nonce, chain_nonce, epoch
    FROM ${schema}.workflow_runs
    WHERE (created_at, id) > (${createdAt}, ${id}) AND created_at < now() - $3::float8 * interval '1 millisecond'
    ORDER BY created_at, id LIMIT ${LOOKUP_RUNS}
  ) AS r`;
}

/**
 * Reads the next runs in the order of creation, and judges each of them. No index of ended runs is
 * needed: a run that may go was created before the shortest retention began.
 */
const SCAN: Statement = {
  name: 'durable_scan_expired',
  text: (schema) => `WITH RECURSIVE walk AS (
  ${nextRunsSql(schema, '$1::text::timestamptz', '$2::text')}
  UNION ALL
  SELECT n.* FROM walk w CROSS JOIN LATERAL (${nextRunsSql(schema, 'w.created_at', 'w.id')}) AS n WHERE w.number = ${LOOKUP_RUNS}
), seen AS MATERIALIZED (
  SELECT * FROM walk LIMIT ${SCANNED_RUNS}
)
SELECT s.id, s.created_at::text, s.start_nonce::text, s.epoch, ${isDeletedByRetentionSql(schema, 's', { workflows: '$4', others: '$5' })}
FROM seen s ORDER BY s.created_at, s.id`,
};

/** A run that was read, in the order of creation. */
export interface ScannedRun extends ScanPlace, EndedLife {
  readonly isExpired: boolean;
}

/** Reads the next runs after a place, at most `SCANNED_RUNS`, and judges each of them. */
export async function scanExpired(database: Database, after: ScanPlace, rules: RetentionRules): Promise<ScannedRun[]> {
  const shortest = shortestRetention(rules);
  if (shortest === undefined) return [];
  type Row = [id: string, createdAt: string, nonce: string, epoch: number, isExpired: boolean];
  const values = [after.createdAt, after.id, shortest, JSON.stringify(rules.workflows), JSON.stringify(rules.others)];
  const rows = await database.query<Row>(SCAN, values);
  return rows.map(([id, createdAt, nonce, epoch, isExpired]) => ({ id, createdAt, nonce, epoch, isExpired }));
}

/** Number of runs that retention would delete now, of one workflow and status. */
export interface ExpiredCount {
  readonly workflow: string;
  readonly status: ShownStatus;
  readonly count: number;
}

/**
 * Counts the runs that retention would delete now, with the children that go with them.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function countExpired(database: Database, rules: RetentionRules): Promise<ExpiredCount[]> {
  const shortest = shortestRetention(rules);
  if (shortest === undefined) return [];
  const { schema } = database;
  const places = { workflows: '$2', others: '$3' };
  const text = `WITH RECURSIVE doomed AS (
  SELECT s.id, s.name, ${shownStatusSql('s')} AS status FROM ${schema}.workflow_runs s
  WHERE s.created_at < now() - $1::float8 * interval '1 millisecond' AND ${isDeletedByRetentionSql(schema, 's', places)}
  UNION
  SELECT c.* FROM doomed d CROSS JOIN LATERAL (
    SELECT r.id, r.name, ${shownStatusSql('r')} AS status FROM ${schema}.workflow_runs r
    WHERE r.parent_run_id = d.id AND ${chainHasEndedSql(schema, 'r')} AND ${goesWithParentSql(schema, 'r', places)} OFFSET 0
  ) AS c
)
SELECT name, status, count(*)::float8 FROM doomed GROUP BY 1, 2 ORDER BY 1, 2`;
  const values = [shortest, JSON.stringify(rules.workflows), JSON.stringify(rules.others)];
  const rows = await database.read<[string, ShownStatus, number]>(text, values);
  return rows.map(([workflow, status, count]) => ({ workflow, status, count }));
}
