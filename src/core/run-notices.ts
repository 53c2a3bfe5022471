import type { DispatchKey, DueRun, RunStatus } from './run.js';

/**
 * Notices of durable changes for the parts of this process, or of others, that act on them. Nothing
 * depends on the arrival of a notice: polling and sweeps find changes that were not announced.
 */
export interface RunNotices {
  /**
   * Announces runs that are due, now or later. Resolves when a transport over a network has
   * accepted the notice or has failed to. Never rejects.
   */
  due(runs: readonly DueRun[]): Promise<void>;
  /** Announces that runs which some process executes have new messages. */
  messaged(runIds: readonly string[]): void;
  /** Announces runs that have ended and that this process does not execute. */
  endedElsewhere(runIds: readonly string[]): void;
}

/** Current state of a run whose `wake_count` was raised because of a new message. */
export interface NotifiedRun extends DispatchKey {
  readonly id: string;
  readonly status: RunStatus;
}

/**
 * Announces notified runs by their status: due runs to claimers, running ones to their owners, and
 * ended ones to callers that wait for results.
 */
export async function announce(notices: RunNotices, runs: readonly NotifiedRun[]): Promise<void> {
  const running = runs.filter(({ status }) => status === 'running').map(({ id }) => id);
  if (running.length > 0) notices.messaged(running);
  const ended = runs.filter(({ status }) => status === 'cancelled').map(({ id }) => id);
  if (ended.length > 0) notices.endedElsewhere(ended);
  const due = runs.filter(({ status }) => status === 'pending');
  if (due.length > 0) await notices.due(due);
}
