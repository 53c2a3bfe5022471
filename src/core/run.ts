/**
 * Status of a run. ARCHITECTURE.md has a diagram of all edges and their guards. An operator may
 * also end a run of any status that is not terminal, by `client.terminate`.
 */
export type RunStatus =
  /**
   * The run is due. A worker's `RunClaimer` makes the run `running`. An operator's pause makes it
   * `paused`, and a cancellation before the first execution makes it `cancelled`. The overdue sweep
   * (`sweepOverdue`) makes the run `failed` when its deadline has passed and no live worker can
   * execute it.
   */
  | 'pending'
  /**
   * A worker owns the run. The journal of the owner writes every further status: `waiting` when the
   * run is suspended or blocked, `paused`, `pending` when it is handed back, and the terminal ones.
   * When the worker dies, the `DeadSessionsSweep` of another process makes the run `pending` again,
   * or `failed` when several workers have died while they executed only this run.
   */
  | 'running'
  /**
   * No worker owns the run, and the run waits for a time, a message or a deployment. The
   * `TimerService` makes the run `pending` when `wake_at` has passed, and the `RunNotifier` does so
   * when a message arrives. The hosts of a new deployment (`unblockRuns`) make a blocked run
   * `pending`. A pause makes the run `paused`, a cancellation before the first execution
   * `cancelled`, and the overdue sweep `failed`.
   */
  | 'waiting'
  /**
   * An operator paused the run. `client.resume` makes the run `pending` or `waiting` again, and
   * `client.cancel` makes it `pending`, so that its code can clean up. A run that was never
   * executed becomes `cancelled` instead.
   */
  | 'paused'
  /** `run()` returned, or continued as another run. No service changes the run any more. */
  | 'completed'
  /**
   * `run()` threw, the run timed out, or its workers died. `client.retry` makes the run `pending`.
   */
  | 'failed'
  /** The run was cancelled or terminated. No service changes the run any more. */
  | 'cancelled';

export const RUN_STATUSES: readonly RunStatus[] = ['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled'];

/**
 * Status of a run as callers see it. A `continued` run ended by `ctx.continueAsNew`, and another
 * run continues in its place.
 */
export type ShownStatus = RunStatus | 'continued';

export const SHOWN_STATUSES: readonly ShownStatus[] = [...RUN_STATUSES, 'continued'];

/** Statuses that a run never leaves, except that a retry makes a `failed` run pending. */
export type TerminalStatus = 'completed' | 'failed' | 'cancelled';

export const TERMINAL_STATUSES: readonly TerminalStatus[] = ['completed', 'failed', 'cancelled'];

export function isTerminal(status: RunStatus): status is TerminalStatus {
  return (TERMINAL_STATUSES as readonly RunStatus[]).includes(status);
}

/**
 * Version of a run that was started by name alone. The first worker that claims the run executes
 * the highest version that the worker has.
 */
export const ANY_VERSION = 0;

/** Highest version of a workflow: the column is an `integer`. */
export const MAX_VERSION = 2_147_483_647;

/** Queue, workflow and version of a run. A claim names the dispatch keys that its worker serves. */
export interface DispatchKey {
  readonly queue: string;
  readonly name: string;
  readonly version: number;
}

/**
 * Returns a dispatch key as one text. A line break separates the parts, and no part contains one.
 */
export function dispatchKeyText({ queue, name, version }: DispatchKey): string {
  return `${queue}\n${name}\n${version}`;
}

/** A run that a worker may claim now, or from `wakeAt` on. */
export interface DueRun extends DispatchKey {
  readonly id: string;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly wakeAt?: number;
}

/**
 * A dispatch key to claim. `timeoutMs` is the timeout of claimed runs that were started by name
 * alone.
 */
export interface ClaimKey extends DispatchKey {
  readonly timeoutMs?: number | null;
}

/** A run to create. Payloads are JSON text, and times are milliseconds. */
export interface NewRun extends DispatchKey {
  readonly id: string;
  readonly priority: number;
  readonly input: string;
  readonly tags: Readonly<Record<string, string>>;
  /**
   * Milliseconds between the insert and the moment when the run is due, by the database's clock.
   */
  readonly delayMs: number | null;
  /** The moment when the run is due, in milliseconds since the epoch. */
  readonly startAt: number | null;
  /**
   * Number that identifies this start. When the response to a commit was lost, the nonce shows
   * whether the run with this id was created by this start or by another.
   */
  readonly nonce: string;
  /**
   * Present when the caller chose the id. An earlier, deleted run may have had the same id and may
   * have left rows.
   */
  readonly hasGivenId?: true;
  readonly deploymentId: string | null;
  /** The run that started this run. */
  readonly parentRunId?: string;
  /** The step of the parent that waits for this run; null when no step waits. */
  readonly parentStepKey?: string | null;
  /** Milliseconds after which the run fails, counted from the moment when it is first due. */
  readonly timeoutMs?: number | null;
}

/** Returns the due run for a run that was just created. */
export function dueRun({ id, queue, name, version, delayMs, startAt }: NewRun, now: number): DueRun {
  const isDue = delayMs === null && (startAt === null || startAt <= now);
  return isDue ? { id, queue, name, version } : { id, queue, name, version, wakeAt: startAt ?? now + delayMs! };
}

/** A run that this process owns, in the state that its claim or its eager start found. */
export interface OwnedRun extends DispatchKey {
  readonly id: string;
  readonly epoch: number;
  readonly input: string;
  /** Time of the first execution, in milliseconds since the epoch by the database's clock. */
  readonly startedAt: number;
  readonly wakeCount: number;
  readonly historyBytes: number;
  /** Number of workers that died while they executed the run. */
  readonly losses: number;
  /** The step of another run that waits for this run. */
  readonly parent: { readonly runId: string; readonly stepKey: string } | null;
  /**
   * Time at which the run fails unless it has ended, in milliseconds since the epoch by the
   * database's clock.
   */
  readonly deadlineAt: number | null;
  /** Number of retries by an operator. */
  readonly generation: number;
  /**
   * Id that seeds the run's random numbers: its own id, or the id of the run from which its history
   * was copied.
   */
  readonly seedId: string;
}
