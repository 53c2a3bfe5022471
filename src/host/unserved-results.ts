import { WorkflowConfigurationError } from '../core/errors/index.js';
import { dispatchLabel, servedHint } from '../core/served.js';
import type { Database } from '../store/database.js';
import { describeRun, type RunDescriptionRow } from '../store/sql/read-runs.js';
import type { ModuleSettings } from './settings.js';

/** The time that a worker which is about to boot has to claim a run. */
const PATIENCE_MS = 2_000;

/** Runs that are looked at in one round, and how far down a chain of child runs. */
const LOOKED_AT = 20;
const DEPTH = 5;

/** The process, as the search needs it. */
export interface UnservedResultsOptions {
  readonly settings: ModuleSettings;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly now: () => number;
  /** Returns the reason why this process executes nothing; undefined while it executes runs. */
  readonly idleBecause: () => string | undefined;
}

/**
 * Finds awaited runs that no living process executes, so that a test fails with the reason instead
 * of its timeout.
 *
 * Only under tests, and only in a process that was meant to execute runs: elsewhere a worker may be
 * on its way. A run that only its own `timeout` can end is left to that timeout.
 *
 * @returns undefined where runs are waited for as long as it takes
 */
export function unservedResults(
  database: Database,
  { settings, now, idleBecause }: UnservedResultsOptions,
  environment: NodeJS.ProcessEnv,
): ((runIds: readonly string[]) => Promise<ReadonlyMap<string, Error>>) | undefined {
  const { workerStart, transport, worker } = settings;
  if (environment['NODE_ENV'] !== 'test' || workerStart === 'never' || transport !== 'poll' || worker.onMismatch === 'block')
    return undefined;

  const findUnserved = async (runId: string, depth: number): Promise<RunDescriptionRow | undefined> => {
    const row = await describeRun(database, runId, 'current');
    if (!row) return undefined;
    if (row.status === 'pending') return !row.isServed && row.readyAt !== null && row.readyAt < now() - PATIENCE_MS ? row : undefined;
    if (row.status !== 'waiting' || depth === DEPTH) return undefined;
    for (const { kind, name } of row.waits.slice(0, LOOKED_AT)) {
      const child = kind === 'child' && name !== null ? await findUnserved(name, depth + 1) : undefined;
      if (child) return child;
    }
    return undefined;
  };
  return async (runIds) => {
    const errors = new Map<string, Error>();
    for (const runId of runIds.slice(0, LOOKED_AT)) {
      const row = await findUnserved(runId, 0);
      const idle = idleBecause();
      if (row && (idle !== undefined || row.deadlineAt === null))
        errors.set(runId, new WorkflowConfigurationError(explain(runId, row, idle)));
    }
    return errors;
  };
}

function explain(runId: string, row: RunDescriptionRow, idle: string | undefined): string {
  const who = row.id === runId ? `Run "${runId}"` : `Run "${runId}" waits for run "${row.id}", which`;
  const waits = `${who} waits for a process that executes ${dispatchLabel(row)}, and no live worker does`;
  const elsewhere = "Where another process executes it, say worker: false here, or worker: { onMismatch: 'block' }";
  if (idle !== undefined) {
    return `${waits}: this process executes nothing, because ${idle}. A test module says WorkflowModule.forRoot({ worker: {} }) and awaits module.init(). ${elsewhere}`;
  }
  const hint = servedHint(row, row.served);
  if (hint) return `${waits}: ${hint.reason}. ${hint.remedy}. ${elsewhere}`;
  return `${waits}. Is its class among the providers, and are name and queue spelt right? ${elsewhere}`;
}
