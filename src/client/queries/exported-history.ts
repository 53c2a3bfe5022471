import { InvalidInputError, RunNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { OpenWait, StepRecord } from '../../core/step.js';
import type { Database } from '../../store/database.js';
import { readExportedRun, type ExportedRun } from '../../store/sql/export-run.js';
import { loadHistories } from '../../store/sql/load-histories.js';
import { readSteps } from '../../store/sql/read-steps.js';
import { checkFollow, type FollowOptions } from '../follow-options.js';
import { currentRunId } from '../follow.js';

/** Maximum number of steps, and of bytes of results, of an export in memory. */
const LIMIT = { limit: 10_000, bytes: 64 << 20 };

/** A `seq` after which no run has a step: only the waits of the run are loaded. */
const AFTER_ALL = 2_147_483_647;

export const HISTORY_FORMAT = 'nestjs-durable/history';
export const HISTORY_FORMAT_VERSION = 1;

/** End of an exported run. Payloads are JSON text in the stored form. */
export type ExportedOutcome =
  | {
      readonly status: 'completed';
      readonly output: string;
      readonly continuedAs?: { readonly id: string; readonly name: string; readonly input: string | null };
    }
  | { readonly status: 'failed'; readonly error: string; readonly failure: { readonly code: string; readonly step: string | null } }
  | { readonly status: 'cancelled'; readonly error: string };

/** An exported run, without its steps. */
export interface ExportedHead {
  readonly format: typeof HISTORY_FORMAT;
  readonly formatVersion: typeof HISTORY_FORMAT_VERSION;
  readonly exportedAt: string;
  readonly workflow: { readonly name: string; readonly version: number; readonly queue: string };
  /** The run as a worker claims it. Times are milliseconds since the epoch. */
  readonly run: {
    readonly id: string;
    readonly input: string;
    readonly startedAt: number;
    readonly deadlineAt: number | null;
    readonly generation: number;
    readonly seedId: string;
    /** Time of the end; null before the end, and absent in files of earlier versions. */
    readonly finishedAt?: number | null;
    /** Schedule and due time of the run; absent when no schedule started the run. */
    readonly schedule?: { readonly name: string; readonly dueAt: number };
  };
  /** End of the run; null before the end. */
  readonly outcome: ExportedOutcome | null;
}

/**
 * Everything that a replay of a run needs, as the command `export` writes it and
 * `client.exportHistory` returns it. Contains every payload of the run.
 */
export interface ExportedHistory extends ExportedHead {
  readonly history: {
    /** Open waits. */
    readonly waits: readonly OpenWait[];
    /** Recorded steps, in the order of `seq`. */
    readonly steps: readonly StepRecord[];
  };
}

/**
 * Reads an exported run, without its steps, and the open waits of the run.
 *
 * @throws RunNotFoundError, and InvalidInputError for a member of a batch, which has no steps
 * @internal
 */
export async function readExportedHead(
  database: Database,
  runId: string,
): Promise<{ readonly head: ExportedHead; readonly waits: readonly OpenWait[] }> {
  const run = await readExportedRun(database, runId);
  if (!run) throw new RunNotFoundError(runId);
  // A retried member is executed alone, and has a history of its own.
  if (run.batchId !== null && run.generation === 0)
    throw new InvalidInputError('runId', `names a member of batch "${run.batchId}", which executes the steps: export the batch`);
  const { waits } = (await loadHistories(database, [runId], new Map([[runId, AFTER_ALL]]))).get(runId)!;
  const { id, name, version, queue, input, startedAt, createdAt, deadlineAt, generation, seedId, finishedAt, schedule } = run;
  const head: ExportedHead = {
    format: HISTORY_FORMAT,
    formatVersion: HISTORY_FORMAT_VERSION,
    exportedAt: new Date().toISOString(),
    workflow: { name, version, queue },
    // A run that was never executed has no start time, and gets the time of its creation.
    run: {
      id,
      input,
      startedAt: startedAt ?? Math.floor(createdAt),
      deadlineAt,
      generation,
      seedId,
      finishedAt,
      ...(schedule ? { schedule } : {}),
    },
    outcome: outcomeOf(run),
  };
  return { head, waits };
}

/**
 * Exports a run in memory.
 *
 * @throws InvalidInputError, RunNotFoundError
 * @internal
 */
export async function exportHistory(database: Database, runId: string, options: FollowOptions): Promise<ExportedHistory> {
  const { follow } = checkFollow(options);
  const id = await currentRunId(database, checkText(runId, 'runId'), { follow });
  const { head, waits } = await readExportedHead(database, id);
  const steps = await readSteps(database, id, { after: 0, ...LIMIT });
  const last = steps.at(-1);
  if (last && (await readSteps(database, id, { after: last.seq, limit: 1, bytes: 1 })).length > 0) {
    throw new InvalidInputError(
      'runId',
      `names a run with more than ${LIMIT.limit} steps or 64 MiB of results: use the command npx nestjs-durable export`,
    );
  }
  return { ...head, history: { waits, steps } };
}

function outcomeOf({ status, output, error, errorCode, failedStep, continuedAs, nextInput }: ExportedRun): ExportedOutcome | null {
  if (status === 'completed') {
    return { status, output: output ?? 'null', ...(continuedAs === null ? {} : { continuedAs: { ...continuedAs, input: nextInput } }) };
  }
  if (status === 'failed') return { status, error: error ?? '{}', failure: { code: errorCode ?? 'Error', step: failedStep } };
  return status === 'cancelled' ? { status, error: error ?? '{}' } : null;
}
