import type { ChaosDatabase } from './database.js';
import type { PlannedRun } from './plan.js';
import { EXPECTED, SHARED_NAMES, isTransactional, type Expectation } from './shapes.js';

/** A property that was checked, and its violations. */
export interface Check {
  readonly name: string;
  readonly problems: readonly string[];
}

interface RunRow {
  readonly id: string;
  readonly status: string;
  readonly output: string | null;
  readonly error: string | null;
  readonly epoch: number;
  readonly exclusive_losses: number;
  readonly started: boolean;
  /** From the request to cancel to the end, in milliseconds. */
  readonly cancel_ms: number | null;
}

interface StepRow {
  readonly run_id: string;
  readonly step_key: string;
  readonly status: string;
  readonly output: string | null;
  readonly attempts: number;
}

interface BodyRow {
  readonly run_id: string;
  readonly step_key: string;
  readonly attempt: number;
  readonly pid: number;
  readonly nonce: string;
  readonly given_by: string | null;
  readonly given: string | null;
}

/** Everything stored of the chaos, by run. */
export class Outcome {
  readonly runs: ReadonlyMap<string, RunRow>;
  readonly steps: ReadonlyMap<string, readonly StepRow[]>;
  readonly bodies: ReadonlyMap<string, readonly BodyRow[]>;

  private constructor(
    readonly planned: readonly PlannedRun[],
    runs: readonly RunRow[],
    steps: readonly StepRow[],
    bodies: readonly BodyRow[],
  ) {
    this.runs = new Map(runs.map((run) => [run.id, run]));
    this.steps = grouped(steps, (step) => step.run_id);
    this.bodies = grouped(bodies, (body) => body.run_id);
  }

  static async read(database: ChaosDatabase, planned: readonly PlannedRun[]): Promise<Outcome> {
    const runs = await database.query<RunRow>(
      `SELECT id, status, output::text, error::text, epoch, exclusive_losses, started_at IS NOT NULL AS started,
        extract(epoch FROM finished_at - cancel_requested_at)::float8 * 1000 AS cancel_ms
      FROM durable.workflow_runs WHERE name <> ALL ($1)`,
      [SHARED_NAMES],
    );
    const steps = await database.query<StepRow>('SELECT run_id, step_key, status, output::text, attempts FROM durable.workflow_steps');
    return new Outcome(
      planned,
      runs,
      steps,
      await database.query<BodyRow>('SELECT run_id, step_key, attempt, pid, nonce, given_by, given FROM bodies ORDER BY at'),
    );
  }

  /** Bodies that were executed more often than their steps needed. */
  get repeated(): number {
    let repeated = 0;
    for (const [runId, bodies] of this.bodies) {
      for (const [key, executions] of grouped(bodies, (body) => body.step_key)) {
        repeated += Math.max(0, executions.length - (this.stepOf(runId, key)?.attempts ?? 0));
      }
    }
    return repeated;
  }

  stepOf(runId: string, key: string): StepRow | undefined {
    return this.steps.get(runId)?.find((step) => step.step_key === key);
  }

  stepsOf(runId: string): readonly StepRow[] {
    return this.steps.get(runId) ?? [];
  }
}

/** All checks of what is stored. */
export function checkOutcome(outcome: Outcome): Check[] {
  const perRun = (name: string, look: (planned: PlannedRun, run: RunRow) => string | undefined): Check => ({
    name,
    problems: outcome.planned.flatMap((planned) => {
      const run = outcome.runs.get(planned.id);
      const problem = run && planned.start !== 'rollback' && look(planned, run);
      return problem ? [`${planned.id}: ${problem}`] : [];
    }),
  });
  return [
    existence(outcome),
    perRun('every run ended as it had to', statusOf),
    perRun('results are what the steps recorded', (planned, run) => resultOf(outcome, planned, run)),
    perRun('every step is recorded once', (planned, run) => recordOf(outcome, planned, run)),
    perRun('every recorded result comes from a body', (planned) => originOf(outcome, planned)),
    perRun('no body began with a result that is not recorded', (planned) => givenOf(outcome, planned)),
    perRun('bodies are repeated at most once for each time that their run was let go of', (planned, run) =>
      repetitionOf(outcome, planned, run),
    ),
  ];
}

function existence({ planned, runs }: Outcome): Check {
  const problems: string[] = [];
  const isReal = new Map(planned.map(({ id, start }) => [id, start !== 'rollback']));
  // A parent that was given up may not have come to all of its children.
  for (const { id, isChild } of planned) {
    if (isChild && !runs.has(id) && runs.get(id.slice(0, id.lastIndexOf('/')))?.status === 'failed') isReal.delete(id);
  }
  for (const [id, real] of isReal)
    if (real !== runs.has(id)) problems.push(`${id} ${real ? 'does not exist' : 'exists, and was rolled back'}`);
  for (const id of runs.keys()) if (!isReal.has(id)) problems.push(`${id} exists, and nobody started it`);
  return { name: 'what was started exists, and nothing else', problems };
}

/** A run that was alone in the hands of three dead workers has failed, as it should. */
export const isGivenUp = (run: RunRow): boolean =>
  run.status === 'failed' && run.exclusive_losses >= 3 && (run.error ?? '').includes('WorkerLostError');

function statusOf({ shape, input }: PlannedRun, run: RunRow): string | undefined {
  const { status } = EXPECTED[shape](input);
  return run.status === status || isGivenUp(run) ? undefined : `${run.status} instead of ${status}: ${run.error}`;
}

function resultOf(outcome: Outcome, { shape, input }: PlannedRun, run: RunRow): string | undefined {
  if (run.status !== 'completed') return run.output === null ? undefined : `a ${run.status} run has the output ${run.output}`;
  const expected = EXPECTED[shape](input).steps.map((key) => JSON.parse(outcome.stepOf(run.id, key)?.output ?? 'null') as unknown);
  return JSON.stringify(JSON.parse(run.output!)) === JSON.stringify(expected) ? undefined : `${run.output} of ${JSON.stringify(expected)}`;
}

function recordOf(outcome: Outcome, { shape, input }: PlannedRun, run: RunRow): string | undefined {
  const { steps, waits, perhaps = [], isPartial }: Expectation = EXPECTED[shape](input);
  const wanted = [...steps, ...waits];
  const keys = outcome.stepsOf(run.id).map((step) => step.step_key);
  const surplus = keys.filter((key) => !wanted.includes(key) && !perhaps.includes(key));
  if (surplus.length > 0 || new Set(keys).size !== keys.length) return `recorded ${keys.join(', ')}`;
  if (isGivenUp(run)) return undefined;
  const missing = wanted.filter((key) => !keys.includes(key));
  // A run that was cancelled before its first execution has done nothing. Any other run has cleaned
  // up, however long that took: faults do not use up its cleanup time.
  const isFine = isPartial ? !run.started || keys.includes('cleanup') : missing.length === 0;
  if (isFine) return undefined;
  return `recorded ${keys.join(', ')}, not ${missing.join(', ')}; ${run.epoch} claims, ended ${run.cancel_ms} ms after the request to cancel`;
}

function originOf(outcome: Outcome, { id, shape, input }: PlannedRun): string | undefined {
  for (const key of EXPECTED[shape](input).steps) {
    const step = outcome.stepOf(id, key);
    if (!step || step.status !== 'completed') continue;
    const executions = outcome.bodies.get(id)?.filter((body) => body.step_key === key) ?? [];
    if (!executions.some(({ nonce }) => JSON.stringify(nonce) === step.output)) return `${key} recorded ${step.output}`;
  }
  return undefined;
}

function givenOf(outcome: Outcome, { id }: PlannedRun): string | undefined {
  for (const { step_key: key, given_by: by, given } of outcome.bodies.get(id) ?? []) {
    if (by === null) continue;
    const recorded = outcome.stepOf(id, by)?.output;
    if (recorded !== JSON.stringify(given)) return `${key} was given ${given} by ${by}, which recorded ${recorded}`;
  }
  return undefined;
}

/**
 * Upper bound of repeated bodies: each claim may execute again what was under way at the claim
 * before, one body or one per branch.
 */
function repetitionOf(outcome: Outcome, { shape, input }: PlannedRun, { id, epoch }: RunRow): string | undefined {
  const isParallel = shape === 'fan' || shape === 'booking' || shape === 'transfer';
  const most = Math.max(0, epoch - 1) * (isParallel ? input.size + 1 : 1);
  const repeated: string[] = [];
  let surplus = 0;
  for (const [key, executions] of grouped(outcome.bodies.get(id) ?? [], (body) => body.step_key)) {
    const attempts = outcome.stepOf(id, key)?.attempts ?? 1;
    if (executions.length <= attempts || isTransactional(key)) continue;
    surplus += executions.length - attempts;
    repeated.push(`${key} with ${attempts} attempts: ${executions.map(({ attempt, pid }) => `${attempt} in ${pid}`).join(', ')}`);
  }
  return surplus <= most ? undefined : `${surplus} bodies too many in ${epoch} claims; ${repeated.join('; ')}`;
}

export function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
