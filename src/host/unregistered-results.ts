import { WorkflowConfigurationError } from '../core/errors/index.js';
import { dispatchLabel, servedHint } from '../core/served.js';
import type { Database } from '../store/database.js';
import { describeRun, type RunDescriptionRow } from '../store/sql/read-runs.js';
import type { ModuleSettings } from './settings.js';

/** Milliseconds that a due run may stay unclaimed, because a worker may be about to boot. */
const PATIENCE_MS = 2_000;

/** Maximum number of awaited runs, and of waits of one run, that a search examines. */
const MAX_EXAMINED = 20;
/** Maximum depth of child runs below an awaited run that a search examines. */
const MAX_DEPTH = 5;

/** Reason why a process executes no runs, as a clause for a sentence, and what changes that. */
export interface IdleReason {
  readonly because: string;
  readonly remedy: string;
}

/** Remedy for a test whose application has not started its worker. */
export const START_WORKER = 'A test module says WorkflowModule.forRoot({ worker: {} }) and awaits module.init()';

/** Parts of the process that the search uses. */
export interface UnregisteredResultsOptions {
  readonly settings: ModuleSettings;
  /** Returns the time of the database's clock, in milliseconds since the epoch. */
  readonly now: () => number;
  /** Returns the reason why this process executes nothing; undefined while it executes runs. */
  readonly idle: () => IdleReason | undefined;
}

/**
 * Creates a function that finds awaited runs that no living process executes. A test that waits for
 * such a run then fails with the reason, and not with a timeout.
 *
 * Used only in tests, and only in a process that is meant to execute runs. Otherwise, a worker in
 * another process may still start and execute the run. While this process executes runs, runs with
 * a `timeout` are not reported, because the timeout ends them.
 *
 * @returns undefined in all other cases: callers then wait for results without this check
 */
export function unregisteredResults(
  database: Database,
  { settings, now, idle: findIdle }: UnregisteredResultsOptions,
  environment: NodeJS.ProcessEnv,
): ((runIds: readonly string[]) => Promise<ReadonlyMap<string, Error>>) | undefined {
  const { workerStart, transport, worker } = settings;
  if (environment['NODE_ENV'] !== 'test' || workerStart === 'never' || transport !== 'poll' || worker.onMismatch === 'block')
    return undefined;

  const findUnregistered = async (runId: string, depth: number): Promise<RunDescriptionRow | undefined> => {
    const row = await describeRun(database, runId, 'current');
    if (!row) return undefined;
    if (row.status === 'pending') return !row.isServed && row.readyAt !== null && row.readyAt < now() - PATIENCE_MS ? row : undefined;
    if (row.status !== 'waiting' || depth === MAX_DEPTH) return undefined;
    for (const { kind, name } of row.waits.slice(0, MAX_EXAMINED)) {
      const child = kind === 'child' && name !== null ? await findUnregistered(name, depth + 1) : undefined;
      if (child) return child;
    }
    return undefined;
  };
  return async (runIds) => {
    const errors = new Map<string, Error>();
    for (const runId of runIds.slice(0, MAX_EXAMINED)) {
      const row = await findUnregistered(runId, 0);
      const idle = findIdle();
      if (row && (idle !== undefined || row.deadlineAt === null))
        errors.set(runId, new WorkflowConfigurationError(explain(runId, row, idle)));
    }
    return errors;
  };
}

function explain(runId: string, row: RunDescriptionRow, idle: IdleReason | undefined): string {
  const who = row.id === runId ? `Run "${runId}"` : `Run "${runId}" waits for run "${row.id}", which`;
  const waits = `${who} waits for a process that executes ${dispatchLabel(row)}, and no live worker does`;
  const elsewhere = "Where another process executes it, say worker: false here, or worker: { onMismatch: 'block' }";
  if (idle !== undefined) {
    return `${waits}: this process executes nothing, because ${idle.because}. ${idle.remedy}. ${elsewhere}`;
  }
  const hint = servedHint(row, row.served);
  if (hint) return `${waits}: ${hint.reason}. ${hint.remedy}. ${elsewhere}`;
  return `${waits}. Is its class among the providers, and are name and queue spelt right? ${elsewhere}`;
}
