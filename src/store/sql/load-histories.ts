import type { History, OpenWait, StepKind, StepRecord } from '../../core/step.js';
import type { Database, Statement } from '../database.js';

/** Columns of a step (alias `s`), in the order in which `toStepRecord` reads them. */
export const STEP_COLUMNS = `s.run_id, s.step_key, s.kind, s.seq, s.status, s.output::text, s.error::text, s.attempts, s.called_after, s.called_after_io, s.args_hash,
  extract(epoch FROM s.started_at)::float8 * 1000, extract(epoch FROM s.finished_at)::float8 * 1000,
  s.compensate_args::text`;

/**
 * Looks up the steps of each run separately. With `= ANY` and 500 runs, PostgreSQL would read the
 * whole table if the table was never analysed. OFFSET 0 keeps the planner from turning the lookup
 * into a join.
 */
const STEPS: Statement = {
  name: 'durable_load_steps',
  text: (schema) => `SELECT ${STEP_COLUMNS}
FROM unnest((SELECT $1::text[]), (SELECT $2::int[])) AS x(id, after)
CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_steps WHERE run_id = x.id AND seq > x.after OFFSET 0) AS s ORDER BY s.run_id, s.seq`,
};

const WAITS: Statement = {
  name: 'durable_load_waits',
  text: (
    schema,
  ) => `SELECT w.run_id, w.step_key, w.kind, extract(epoch FROM w.wake_at)::float8 * 1000, w.attempts, extract(epoch FROM w.opened_at)::float8 * 1000, w.name
FROM unnest((SELECT $1::text[])) AS x(id) CROSS JOIN LATERAL (SELECT * FROM ${schema}.workflow_waits WHERE run_id = x.id OFFSET 0) AS w`,
};

/** A row of `STEP_COLUMNS`. */
export type StepRow = [
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
  string | null,
];
type WaitRow = [string, string, OpenWait['kind'], number | null, number, number, string | null];

/**
 * Loads the histories of runs: steps in the order in which they were recorded, and open waits.
 * Every requested run has an entry.
 *
 * @param after by run id, the `seq` after which steps are loaded; a run without an entry is loaded
 * from its first step
 */
export async function loadHistories(
  database: Database,
  runIds: readonly string[],
  after: ReadonlyMap<string, number> = new Map(),
): Promise<Map<string, History>> {
  const from = runIds.map((id) => after.get(id) ?? 0);
  const [steps, waits] = await Promise.all([database.query<StepRow>(STEPS, [runIds, from]), database.query<WaitRow>(WAITS, [runIds])]);
  const histories = new Map<string, { steps: StepRecord[]; waits: OpenWait[] }>(runIds.map((id) => [id, { steps: [], waits: [] }]));
  for (const row of steps) histories.get(row[0])!.steps.push(toStepRecord(row));
  for (const [runId, stepKey, kind, wakeAt, attempts, openedAt, name] of waits) {
    const due = wakeAt === null ? null : Math.round(wakeAt);
    histories.get(runId)!.waits.push({ stepKey, kind, name, wakeAt: due, attempts, openedAt: Math.round(openedAt) });
  }
  return histories;
}

export function toStepRecord(row: StepRow): StepRecord {
  const [
    ,
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
    startedAt,
    finishedAt,
    compensateArgs,
  ] = row;
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
    ...(compensateArgs === null ? {} : { compensateArgs }),
  };
}
