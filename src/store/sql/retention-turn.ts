import type { RetentionRule } from '../../core/retention.js';
import type { Database, Statement } from '../database.js';
import { SCAN_START, type ScanPlace } from './expired-runs.js';

/** Rules of workflow classes, by `retentionKey`. */
export type RecordedRules = Readonly<Record<string, RetentionRule>>;

const RECORD: Statement = {
  name: 'durable_record_retention',
  text: (schema, lockTimeout) => `INSERT INTO ${schema}.workflow_retention AS t (id, workflows) SELECT 1, $1::jsonb WHERE true${lockTimeout}
ON CONFLICT (id) DO UPDATE SET workflows = t.workflows || excluded.workflows WHERE t.workflows || excluded.workflows <> t.workflows`,
};

const READ: Statement = {
  name: 'durable_read_retention',
  text: (schema) => `SELECT workflows FROM ${schema}.workflow_retention WHERE id = 1`,
};

const TAKE: Statement = {
  name: 'durable_take_retention_turn',
  text: (schema) => `WITH free AS MATERIALIZED (
  SELECT id FROM ${schema}.workflow_retention WHERE id = 1 AND next_at <= now() FOR UPDATE SKIP LOCKED
)
UPDATE ${schema}.workflow_retention t SET next_at = now() + $1::float8 * interval '1 millisecond' FROM free WHERE t.id = free.id
RETURNING t.after_created_at::text, t.after_id, t.left_alone::float8, t.workflows`,
};

const END: Statement = {
  name: 'durable_end_retention_turn',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_retention SET
  next_at = now() + $1::float8 * interval '1 millisecond', after_created_at = $2::text::timestamptz, after_id = $3, left_alone = $4::bigint
WHERE id = 1${lockTimeout}`,
};

/** Progress of a round through all runs. */
export interface RetentionProgress {
  /** Place of the last run that was read. */
  readonly after: ScanPlace;
  /** Number of runs that were read and not deleted in this round. */
  readonly leftAlone: number;
}

/** Turn of a process, which reads the next runs. */
export interface RetentionTurn extends RetentionProgress {
  readonly workflows: RecordedRules;
}

/**
 * Records the retention of workflow classes for processes that do not have these classes, and
 * creates the row with the progress.
 */
export async function recordRetention(database: Database, workflows: RecordedRules): Promise<void> {
  await database.query(RECORD, [JSON.stringify(workflows)]);
}

/** Reads the rules that processes have recorded for their workflows. */
export async function readRecordedRetention(database: Database): Promise<RecordedRules> {
  const [row] = await database.query<[RecordedRules]>(READ, []);
  return row?.[0] ?? {};
}

/**
 * Takes the turn. Undefined while another process has it, or while the pause after the last turn
 * lasts. A turn that its process does not end is free again after `leaseMs`.
 */
export async function takeRetentionTurn(database: Database, leaseMs: number): Promise<RetentionTurn | undefined> {
  const [row] = await database.query<[string | null, string | null, number, RecordedRules]>(TAKE, [leaseMs]);
  if (!row) return undefined;
  const [afterAt, afterId, leftAlone, workflows] = row;
  const after = afterAt === null || afterId === null ? SCAN_START : { createdAt: afterAt, id: afterId };
  return { after, leftAlone, workflows };
}

/** Stores the progress, and lets a process begin the next turn after the pause. */
export async function endRetentionTurn(database: Database, { after, leftAlone }: RetentionProgress, pauseMs: number): Promise<void> {
  const isStart = after.createdAt === SCAN_START.createdAt;
  await database.query(END, [pauseMs, isStart ? null : after.createdAt, isStart ? null : after.id, leftAlone]);
}
