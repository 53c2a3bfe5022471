import { counted } from '../core/log-text.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { WorkerEvents } from './worker-types.js';

/** Writes the log lines that are about a worker's session and its slots. */
export class WorkerLog {
  constructor(private readonly events: Pick<WorkerEvents, 'log'>) {}

  claimAnswerLost(sessionId: string, runs: number): void {
    const what = `lost the answer to a claim of ${counted(runs, 'run')}; handing back what was claimed`;
    this.warn('claim-answer-lost', what, { sessionId, count: runs });
  }

  takenOver(sessionId: string, runs: number): void {
    const what = `another process took over the session, and continues its ${counted(runs, 'run')}`;
    this.warn('session-taken-over', what, { sessionId, count: runs });
  }

  commitsLost(sessionId: string, lacking: number, runs: number): void {
    const what = `the database failed over and lost commits of ${lacking} of ${counted(runs, 'active run')}`;
    this.warn('commits-lost', `${what}; executing all of them again from their records`, { sessionId, count: lacking });
  }

  sessionNotOpened(error: unknown): void {
    this.events.log('warn', 'session-not-opened', 'worker: could not open a new session; trying again', error);
  }

  /**
   * Reports that no slot has been free for a long time.
   *
   * @param holders workflow names of the runs in the slots
   */
  slotsTaken(slots: number, seconds: number, holders: Iterable<string>): void {
    const names = new Map<string, number>();
    for (const name of holders) names.set(name, (names.get(name) ?? 0) + 1);
    const shown = [...names].map(([name, count]) => `${count} of "${name}"`).join(', ');
    this.warn('slots-taken', `all ${slots} slots have been taken for ${seconds} s, by ${shown}: due runs wait`);
  }

  private warn(code: WarningCode, what: string, fields?: { sessionId: string; count: number }): void {
    this.events.log('warn', code, `worker: ${what}`, undefined, fields);
  }
}
