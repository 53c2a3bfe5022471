/** Where a run is in its life; ARCHITECTURE.md draws who moves it along which edge. */
export type RunStatus = 'pending' | 'running' | 'waiting' | 'paused' | 'completed' | 'failed' | 'cancelled';

export const RUN_STATUSES: readonly RunStatus[] = ['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled'];

/** A run's status as people see it: `continued` ended by `ctx.continueAsNew`, and another run goes on in its place. */
export type ShownStatus = RunStatus | 'continued';

export const SHOWN_STATUSES: readonly ShownStatus[] = [...RUN_STATUSES, 'continued'];

/** The statuses that a run never leaves (only `retry` leaves `failed`). */
export type TerminalStatus = 'completed' | 'failed' | 'cancelled';

export const TERMINAL_STATUSES: readonly TerminalStatus[] = ['completed', 'failed', 'cancelled'];

export function isTerminal(status: RunStatus): status is TerminalStatus {
  return (TERMINAL_STATUSES as readonly RunStatus[]).includes(status);
}

/** A by-name start knows no version: the first worker that claims the run executes the highest version that it has. */
export const ANY_VERSION = 0;

/** Highest version of a workflow: the column is an `integer`. */
export const MAX_VERSION = 2_147_483_647;

/** What a claim names: only runs of a queue, workflow and version that this process serves. */
export interface DispatchKey {
  readonly queue: string;
  readonly name: string;
  readonly version: number;
}

/** A dispatch key as one text. None of its parts has a line break. */
export function dispatchKeyText({ queue, name, version }: DispatchKey): string {
  return `${queue}\n${name}\n${version}`;
}

/** A run that somebody may execute: now, or from `wakeAt` on, milliseconds since the epoch by the database's clock. */
export interface DueRun extends DispatchKey {
  readonly id: string;
  readonly wakeAt?: number;
}

/** A dispatch key, and how long runs may take that are claimed under it and were started by name alone. */
export interface ClaimKey extends DispatchKey {
  readonly timeoutMs?: number | null;
}

/** A run to be created. Payloads are JSON text already; times are milliseconds. */
export interface NewRun extends DispatchKey {
  readonly id: string;
  readonly priority: number;
  readonly input: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Due so many milliseconds after the insert, by the database's clock. */
  readonly delayMs: number | null;
  /** Due at that moment, milliseconds since the epoch. */
  readonly startAt: number | null;
  /** Tells this start from another with the same id when a commit's answer was lost. */
  readonly nonce: string;
  /** The id was not made for this run alone: an earlier run may have had it, and may have left rows behind. */
  readonly hasGivenId?: true;
  readonly deploymentId: string | null;
  /** The run that started it. */
  readonly parentRunId?: string;
  /** The step of the parent that waits for it; null when none does. */
  readonly parentStepKey?: string | null;
  /** Fails when it has not ended so many milliseconds after it was first due. */
  readonly timeoutMs?: number | null;
}

/** When a run that has just been created is due. */
export function dueRun({ id, queue, name, version, delayMs, startAt }: NewRun, now: number): DueRun {
  const isDue = delayMs === null && (startAt === null || startAt <= now);
  return isDue ? { id, queue, name, version } : { id, queue, name, version, wakeAt: startAt ?? now + delayMs! };
}

/** A run in this process's hands, as the claim (or the start that kept it) found it. */
export interface OwnedRun extends DispatchKey {
  readonly id: string;
  readonly epoch: number;
  readonly input: string;
  /** When it was first executed, milliseconds since the epoch by the database's clock. */
  readonly startedAt: number;
  readonly wakeCount: number;
  readonly historyBytes: number;
  /** How often it was lost with a worker. */
  readonly losses: number;
  /** The step of another run that waits for this one. */
  readonly parent: { readonly runId: string; readonly stepKey: string } | null;
  /** When the run fails if it has not ended, milliseconds since the epoch by the database's clock. */
  readonly deadlineAt: number | null;
  /** How many times it has been retried by an operator. */
  readonly generation: number;
  /** The run whose id its random numbers come from: its own, or that of the run whose history was copied. */
  readonly seedId: string;
}
