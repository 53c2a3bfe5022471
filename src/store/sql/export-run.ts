import type { RunStatus } from '../../core/run.js';
import type { ScheduledFor } from '../../core/schedules/schedule-types.js';
import type { Database, Statement } from '../database.js';
import { scheduledForSql } from './scheduled-for.js';

/**
 * A run as a replay needs it: what a claim reads, and how the run ended. Payloads are JSON text in
 * the stored form. Times are milliseconds since the epoch.
 */
export interface ExportedRun {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  readonly status: RunStatus;
  readonly generation: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly deadlineAt: number | null;
  /** Id from which the run's random numbers are derived. */
  readonly seedId: string;
  /** Schedule and due time of the run; null when no schedule started the run. */
  readonly schedule: ScheduledFor | null;
  /** The batch that executes the input of this run; null for a run that is no member. */
  readonly batchId: string | null;
  readonly input: string;
  readonly output: string | null;
  readonly error: string | null;
  readonly errorCode: string | null;
  readonly failedStep: string | null;
  /** The run that continues this one; null when no such run exists. */
  readonly continuedAs: { readonly id: string; readonly name: string } | null;
  /** Input of the run that continues this one. */
  readonly nextInput: string | null;
}

const milliseconds = (column: string): string => `extract(epoch FROM ${column})::float8 * 1000`;

const EXPORT: Statement = {
  name: 'durable_export_run',
  text: (schema) => `SELECT json_build_object('id', r.id, 'name', r.name, 'version', r.version, 'queue', r.queue, 'status', r.status,
  'generation', r.generation, 'createdAt', ${milliseconds('r.created_at')}, 'startedAt', floor(${milliseconds('r.started_at')}),
  'finishedAt', ${milliseconds('r.finished_at')}, 'deadlineAt', ${milliseconds('r.deadline_at')}, 'seedId', coalesce(r.seed_run_id, r.id),
  'schedule', ${scheduledForSql('r')}, 'batchId', r.batch_id,
  'errorCode', r.error_code, 'failedStep', r.failed_step,
  'continuedAs', CASE WHEN n.id IS NOT NULL THEN json_build_object('id', n.id, 'name', n.name) END
)::text, r.input::text, r.output::text, r.error::text, n.input::text
FROM ${schema}.workflow_runs r
LEFT JOIN LATERAL (SELECT id, name, input FROM ${schema}.workflow_runs WHERE id = r.continued_as LIMIT 1) AS n ON true WHERE r.id = $1`,
};

/** Reads a run for an export. Undefined when no run has this id. */
export async function readExportedRun(database: Database, id: string): Promise<ExportedRun | undefined> {
  const [row] = await database.query<[string, string, string | null, string | null, string | null]>(EXPORT, [id]);
  if (!row) return undefined;
  const [fields, input, output, error, nextInput] = row;
  type Fields = Omit<ExportedRun, 'input' | 'output' | 'error' | 'nextInput'>;
  return { ...(JSON.parse(fields) as Fields), input, output, error, nextInput };
}
