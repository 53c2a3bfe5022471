import type { Database } from '../store/database.js';
import { findMovedRuns, readInbox, type InboxMessage } from '../store/sql/inbox.js';
import type { Execution } from './execution.js';

/**
 * The wake counter of a run whose inbox has not been read: it is no run's, so that the run cannot be parked before. What the claim found counts messages that
 * nobody here has seen.
 */
export const UNREAD = -1;

/** Brings messages from the inbox to the runs in this process's hands. */
export class Mail {
  constructor(
    private readonly database: Database,
    private readonly executions: ReadonlyMap<string, Execution>,
  ) {}

  /** Looks for messages to these runs, where this process has them. */
  async check(sessionId: string, runIds: readonly string[]): Promise<void> {
    const seen = runIds.flatMap((id) => this.executions.get(id) ?? []).map(({ run, wakeCount }) => ({ id: run.id, wakeCount }));
    if (seen.length > 0) await this.deliver(await findMovedRuns(this.database, sessionId, seen));
  }

  /** Delivers what waits for runs whose counters have been read as these. */
  async deliver(runs: readonly { readonly id: string; readonly wakeCount: number }[]): Promise<void> {
    if (runs.length === 0) return;
    const ids = runs.map((run) => run.id);
    const messages = await readInbox(this.database, ids);
    // Only now: had the messages not been read, the counter would say that they had.
    for (const { id, wakeCount } of runs) {
      const execution = this.executions.get(id);
      if (execution) execution.wakeCount = Math.max(execution.wakeCount, wakeCount);
    }
    for (const { id } of runs) {
      const execution = this.executions.get(id);
      if (execution?.isPausing && !messages.some(({ runId, kind }) => runId === id && kind === 'pause')) execution.unpause();
    }
    for (const message of messages) {
      const execution = this.executions.get(message.runId);
      if (execution) deliverTo(execution, message);
    }
    for (const { id } of runs) this.executions.get(id)?.heard();
  }
}

function deliverTo(execution: Execution, { id, kind, name, payload }: InboxMessage): void {
  const { pass } = execution;
  switch (kind) {
    case 'cancel': {
      const { reason } = payload === null ? { reason: undefined } : (JSON.parse(payload) as { reason?: string });
      return pass.cancel(id, reason);
    }
    case 'signal':
    case 'hook':
    case 'child':
      return pass.receive({ id, channel: `${kind}:${name}`, payload: payload ?? 'null', outcome: 'value' });
    case 'pause':
      return execution.pause();
    case 'resolve':
      return pass.resolve(name!, { id, channel: `${kind}:${name}`, payload: payload ?? 'null', outcome: 'value' });
    case 'resolve_failed':
      return pass.resolve(name!, { id, channel: `resolve:${name}`, payload: payload ?? 'null', outcome: 'error' });
    case 'child_failed':
      return pass.receive({ id, channel: `child:${name}`, payload: payload ?? 'null', outcome: 'error' });
  }
}
