import type { DispatchKey, DueRun, RunStatus } from './run.js';

/**
 * Announcements of changes that are durable, to whoever acts on them in this process or in another. Nothing depends on their arrival: polling and
 * sweeps find what was not announced.
 */
export interface RunNotices {
  /** Runs have become due, or will. Resolves when a transport over a network has been told, or could not be; never rejects. */
  due(runs: readonly DueRun[]): Promise<void>;
  /** Messages have come for runs that some process executes. */
  messaged(runIds: readonly string[]): void;
  /** Runs have ended that this process does not execute. */
  endedElsewhere(runIds: readonly string[]): void;
}

/** A run whose counter has moved because something came for it, as it is now. */
export interface NotifiedRun extends DispatchKey {
  readonly id: string;
  readonly status: RunStatus;
}

/** Announces what a notification has made of runs: due ones to those who claim, running ones to their owners, ended ones to those who wait for results. */
export async function announce(notices: RunNotices, runs: readonly NotifiedRun[]): Promise<void> {
  const running = runs.filter(({ status }) => status === 'running').map(({ id }) => id);
  if (running.length > 0) notices.messaged(running);
  const ended = runs.filter(({ status }) => status === 'cancelled').map(({ id }) => id);
  if (ended.length > 0) notices.endedElsewhere(ended);
  const due = runs.filter(({ status }) => status === 'pending');
  if (due.length > 0) await notices.due(due);
}
