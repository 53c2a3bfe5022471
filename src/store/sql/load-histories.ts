import type { History, OpenWait, StepKind, StepRecord } from '../../core/step.js';
import type { Database, Statement } from '../database.js';

/** `= ANY` is safe here: the primary key starts with the run id, and each run's rows are few or wanted anyway. */
const STEPS: Statement = {
  name: 'durable_load_steps',
  text: (
    schema,
  ) => `SELECT run_id, step_key, kind, seq, status, output::text, error::text, attempts, called_after, called_after_io, args_hash,
  extract(epoch FROM started_at)::float8 * 1000, extract(epoch FROM finished_at)::float8 * 1000
FROM ${schema}.workflow_steps WHERE run_id = ANY ($1::text[]) ORDER BY run_id, seq`,
};

const WAITS: Statement = {
  name: 'durable_load_waits',
  text: (
    schema,
  ) => `SELECT run_id, step_key, kind, extract(epoch FROM wake_at)::float8 * 1000, attempts, extract(epoch FROM opened_at)::float8 * 1000, name
FROM ${schema}.workflow_waits WHERE run_id = ANY ($1::text[])`,
};

type StepRow = [
  string,
  string,
  StepKind,
  number,
  'completed' | 'failed',
  string | null,
  string | null,
  number,
  number,
  boolean,
  number | null,
  number,
  number,
];
type WaitRow = [string, string, OpenWait['kind'], number | null, number, number, string | null];

/** What is recorded of the runs: steps in the order in which they entered, and waits that are open. Every run that was asked for has an entry. */
export async function loadHistories(database: Database, runIds: readonly string[]): Promise<Map<string, History>> {
  const [steps, waits] = await Promise.all([database.query<StepRow>(STEPS, [runIds]), database.query<WaitRow>(WAITS, [runIds])]);
  const histories = new Map<string, { steps: StepRecord[]; waits: OpenWait[] }>(runIds.map((id) => [id, { steps: [], waits: [] }]));
  for (const row of steps) histories.get(row[0])!.steps.push(toStepRecord(row));
  for (const [runId, stepKey, kind, wakeAt, attempts, openedAt, name] of waits) {
    const due = wakeAt === null ? null : Math.round(wakeAt);
    histories.get(runId)!.waits.push({ stepKey, kind, name, wakeAt: due, attempts, openedAt: Math.round(openedAt) });
  }
  return histories;
}

function toStepRecord(row: StepRow): StepRecord {
  const [, stepKey, kind, seq, status, output, error, attempts, calledAfter, calledAfterIo, argsHash, startedAt, finishedAt] = row;
  return {
    stepKey,
    kind,
    seq,
    status,
    output,
    error,
    attempts,
    calledAfter,
    calledAfterIo,
    argsHash,
    startedAt: Math.round(startedAt),
    finishedAt: Math.round(finishedAt),
  };
}
