import type { ScheduledFor } from './schedules/schedule-types.js';
import type { BatchStart } from './batch-start.js';

/**
 * Status of a run. ARCHITECTURE.md has a diagram of all status changes and their conditions. An
 * operator may also end a run of any status that is not terminal, by `client.terminate`.
 */
export type RunStatus =
  /**
   * The run is due. A worker's `RunClaimer` makes the run `running`. A pause by an operator makes
   * the run `paused`, and a cancellation before the first execution makes the run `cancelled`. The
   * overdue sweep (`sweepOverdue`) makes the run `failed` when the run's deadline has passed and no
   * live worker can execute the run.
   */
  | 'pending'
  /**
   * A worker owns the run, and the worker's journal writes the next status. A suspended or blocked
   * run becomes `waiting`, a run that an operator pauses becomes `paused`, and a run that the
   * worker hands back becomes `pending`. A run that ends gets a terminal status. When the worker
   * dies, the `DeadSessionsSweep` of another process makes the run `pending` again. The sweep makes
   * the run `failed` when several workers have died while they executed only this run.
   */
  | 'running'
  /**
   * No worker owns the run, and the run waits for a time, a message or a deployment. The
   * `TimerService` makes the run `pending` when `wake_at` has passed, and the `RunNotifier` does so
   * when a message arrives. A process of a new deployment makes a blocked run `pending`
   * (`unblockRuns`). The run becomes `paused` by a pause, `cancelled` by a cancellation before the
   * first execution, and `failed` by the overdue sweep.
   */
  | 'waiting'
  /**
   * An operator paused the run. `client.resume` makes the run `pending` or `waiting` again.
   * `client.cancel` makes the run `pending`, so that its code can clean up. If the run was never
   * executed, `client.cancel` makes the run `cancelled`.
   */
  | 'paused'
  /** `run()` returned, or called `ctx.continueAsNew`. No service changes the status any more. */
  | 'completed'
  /**
   * `run()` threw, the run timed out, or its workers died. `client.retry` makes the run `pending`.
   */
  | 'failed'
  /** The run was cancelled or terminated. No service changes the status any more. */
  | 'cancelled';

export const RUN_STATUSES: readonly RunStatus[] = ['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled'];

/**
 * Status of a run as the client shows it to callers. A run is `continued` when it ended by
 * `ctx.continueAsNew` and another run continues in its place.
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
 * Version number of a run that was started by the workflow's name alone. The first worker that
 * claims the run executes the highest version that this worker has.
 */
export const ANY_VERSION = 0;

/** Highest version number of a workflow. The database column is an `integer`. */
export const MAX_VERSION = 2_147_483_647;

/**
 * Queue, workflow name and version of a run. A worker claims only runs whose dispatch key the
 * worker serves.
 */
export interface DispatchKey {
  /** Queue of the run. */
  readonly queue: string;
  /** Name of the workflow. */
  readonly name: string;
  /**
   * Version of the workflow. 0 for a run that was started by name and that no worker has claimed.
   */
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
  /**
   * Time when the run is due, in milliseconds since the epoch by the database's clock. Absent when
   * the run is due now.
   */
  readonly wakeAt?: number;
  /** Key of the run within its queue; absent when it is not known. */
  readonly queueKey?: string | null;
  /** True when the run has a place in its queue, or needs none. */
  readonly isAdmitted?: true;
}

/**
 * A dispatch key whose runs a worker claims. `timeoutMs` is the timeout for claimed runs that were
 * started by name alone.
 */
export interface ClaimKey extends DispatchKey {
  readonly timeoutMs?: number | null;
}

/**
 * Key that a start shares with other starts of the same workflow. The database decides which run
 * counts for all of them.
 */
export interface SharedStart {
  /**
   * `debounce`: the run starts `periodMs` after the last of these starts, with its input.
   * `throttle`: the first start makes the run, which counts for `periodMs`.
   */
  readonly kind: 'debounce' | 'throttle';
  readonly key: string;
  readonly periodMs: number;
  /** Maximum number of milliseconds between the first start and the run. Null without a limit. */
  readonly maxWaitMs: number | null;
}

/** A run to create. Payloads are JSON text, and times are milliseconds. */
export interface NewRun extends DispatchKey {
  readonly id: string;
  readonly priority: number;
  readonly input: string;
  readonly tags: Readonly<Record<string, string>>;
  /**
   * Milliseconds from the insert of the run until the run is due, by the database's clock. Null
   * when the run is due at `startAt`, or at once.
   */
  readonly delayMs: number | null;
  /**
   * Time when the run is due, in milliseconds since the epoch. Null when the run is due after
   * `delayMs`, or at once.
   */
  readonly startAt: number | null;
  /**
   * Number that identifies this start. When the response to a commit was lost, the nonce shows
   * whether the run with this id was created by this start or by another.
   */
  readonly nonce: string;
  /**
   * True when the caller chose the id. A deleted run may have had the same id, so the start removes
   * rows that the deleted run has left.
   */
  readonly hasGivenId?: true;
  readonly deploymentId: string | null;
  /** Id of the run that started this run. */
  readonly parentRunId?: string;
  /** Key of the parent's step that waits for this run; null when no step waits. */
  readonly parentStepKey?: string | null;
  /**
   * Milliseconds that the run may take before it fails, counted from the moment when the run is
   * first due.
   */
  readonly timeoutMs?: number | null;
  /** Trace context of the start, in the stored form; absent or null when it is not traced. */
  readonly traceContext?: string | null;
  /** Key of the run within its queue, such as a tenant; absent or null without a key. */
  readonly queueKey?: string | null;
  /** Schedule and due time of the run; absent when no schedule starts the run. */
  readonly schedule?: ScheduledFor | null;
  /** Absent when the start always makes a run of its own. */
  readonly shared?: SharedStart;
  /** Absent when the run is executed on its own, and not as a member of a batch. */
  readonly batch?: BatchStart;
}

/** Converts a newly created run to a `DueRun`: due now, or due later at `wakeAt`. */
export function dueRun({ id, queue, name, version, delayMs, startAt, queueKey = '' }: NewRun, now: number): DueRun {
  const isDue = delayMs === null && (startAt === null || startAt <= now);
  return isDue ? { id, queue, name, version, queueKey } : { id, queue, name, version, wakeAt: startAt ?? now + delayMs! };
}

/** A run that this process owns, as the run was when the process claimed or started it. */
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
  /** The step of another run that waits for this run; null when no step waits. */
  readonly parent: { readonly runId: string; readonly stepKey: string } | null;
  /**
   * Time when the run fails if it has not ended, in milliseconds since the epoch by the database's
   * clock. Null when the run has no timeout.
   */
  readonly deadlineAt: number | null;
  /** Number of times that an operator has retried the run. */
  readonly generation: number;
  /**
   * Id from which the run's random numbers are derived. The id is the run's own, or, for a copy of
   * a run, the id of the original run.
   */
  readonly seedId: string;
  /**
   * Time at which the claimed run became due, in milliseconds since the epoch. Absent for eager
   * starts.
   */
  readonly dueSince?: number;
  /** Key of the run within its queue; absent or null without a key. */
  readonly queueKey?: string | null;
  /** True when the run has a place in a queue with limits. */
  readonly hasPlace?: true;
  /**
   * Time of the run's slot of a rate limit, in milliseconds since the epoch by the database's
   * clock: the run may not begin earlier. Absent without a rate limit.
   */
  readonly opensAt?: number;
  /** Trace context of the start, in the stored form; absent or null when it is not traced. */
  readonly traceContext?: string | null;
  /** Schedule and due time of the run; absent or null when no schedule started the run. */
  readonly schedule?: ScheduledFor | null;
}
