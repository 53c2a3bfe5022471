import type { DispatchKey, DueRun, RunStatus, TerminalStatus } from './run.js';

/**
 * Announces stored changes of runs to the components that act on them, in this process or in
 * others. A lost notice does no harm, because polling and sweeps find changes that were not
 * announced.
 */
export interface RunNotices {
  /**
   * Announces runs that are due now or will be due later. Resolves when the transport, such as
   * QStash, has accepted or refused the notice. Never rejects.
   */
  due(runs: readonly DueRun[]): Promise<void>;
  /**
   * Announces running runs that have new messages, so that the processes that execute the runs read
   * the messages.
   */
  messaged(runIds: readonly string[]): void;
  /**
   * Announces runs that have ended and are not executed by this process, so that callers stop
   * waiting for the results.
   */
  endedElsewhere(runs: readonly EndedElsewhere[]): void;
  /**
   * Announces that a run has given back its place in a queue with limits, so that the queue admits
   * the next run.
   *
   * @param key key of the run within its queue; empty without a key
   */
  placeFreed(queue: string, key: string): void;
}

/** A run that has ended without a worker of this process. */
export interface EndedElsewhere {
  readonly id: string;
  /** Name of the workflow. */
  readonly name: string;
  readonly status: Exclude<TerminalStatus, 'completed'>;
}

/** Current state of a run whose `wake_count` was raised because of a new message. */
export interface NotifiedRun extends DispatchKey {
  readonly id: string;
  readonly status: RunStatus;
  /** Key of a run that waits for a place in its queue; null or absent for any other run. */
  readonly queuedKey?: string | null;
  /** Key of a run that has just lost its place in its queue; null or absent for any other run. */
  readonly freedKey?: string | null;
}

/**
 * Announces runs that have new messages. Pending runs are announced to workers that may claim them,
 * running runs to their owners, and cancelled runs to callers that wait for results.
 */
export async function announce(notices: RunNotices, runs: readonly NotifiedRun[]): Promise<void> {
  const running = runs.filter(({ status }) => status === 'running').map(({ id }) => id);
  if (running.length > 0) notices.messaged(running);
  const ended = runs.flatMap(({ id, name, status }) => (status === 'cancelled' ? { id, name, status } : []));
  if (ended.length > 0) notices.endedElsewhere(ended);
  for (const { queue, freedKey } of runs) if (typeof freedKey === 'string') notices.placeFreed(queue, freedKey);
  const due = runs.flatMap(({ id, queue, name, version, status, queuedKey }): DueRun[] => {
    if (typeof queuedKey === 'string') return [{ id, queue, name, version, queueKey: queuedKey }];
    return status === 'pending' ? [{ id, queue, name, version, isAdmitted: true }] : [];
  });
  if (due.length > 0) await notices.due(due);
}
