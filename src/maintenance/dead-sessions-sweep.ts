import { performance } from 'node:perf_hooks';
import { counted } from '../core/log-text.js';
import { surveySessions, takeOver } from '../store/sql/sessions.js';
import type { Sweep, SweepDependencies } from './sweep.js';

/**
 * Milliseconds between two surveys (queries for dead sessions) of one process, if sessions are few.
 */
const SURVEY_EVERY_MS = 300;
/**
 * Number of sessions above which each process queries the sessions less often, so that the load of
 * all processes together does not grow with their number.
 */
const SESSIONS_PER_SURVEY = 4;

/**
 * Takes over the runs of dead sessions. A session is dead when its row has expired, or sooner when
 * its lock is gone: the server frees the lock when the process dies. The lock must be missing in
 * two surveys in a row, because a living process may be connecting again.
 */
export class DeadSessionsSweep implements Sweep {
  readonly failure = 'sweep: could not find dead sessions';
  private sessions = 1;
  private unlockedBefore: ReadonlySet<string> = new Set();
  /**
   * Time before which no expired session is taken over, by performance.now(). While the database is
   * unreachable, sessions expire although their processes live. These processes need time for a
   * renewal.
   */
  private expiredOnlyAfter = 0;

  constructor(private readonly dependencies: SweepDependencies) {}

  get everyMs(): number {
    return SURVEY_EVERY_MS * Math.max(1, this.sessions / SESSIONS_PER_SURVEY);
  }

  async run(): Promise<undefined> {
    const { database, sessionTtlMs, ownSession } = this.dependencies;
    // Read the id before the survey. While this process closes, the worker may drop the id before
    // it deletes the session's row. The survey could then report this process's own session as
    // dead.
    const own = ownSession();
    try {
      const survey = await surveySessions(database);
      this.sessions = survey.count;
      const unlocked = survey.unlocked.filter((id) => id !== own);
      const dead = unlocked.filter((id) => this.unlockedBefore.has(id));
      this.unlockedBefore = new Set(unlocked);
      const expired = survey.expired.filter((id) => id !== own);
      if (performance.now() >= this.expiredOnlyAfter) await this.takeOver(expired, 'expired');
      await this.takeOver(dead, 'unlocked');
    } catch (error) {
      this.sessions = 1;
      this.unlockedBefore = new Set();
      this.expiredOnlyAfter = performance.now() + sessionTtlMs / 2;
      throw error;
    }
  }

  private async takeOver(ids: readonly string[], evidence: 'expired' | 'unlocked'): Promise<void> {
    if (ids.length === 0) return;
    const { database, metrics, notices, notifier, returned, warn } = this.dependencies;
    const runs = await takeOver(database, ids, evidence);
    if (runs.length === 0) return;
    database.listened.recorded();
    warn('worker-died', `sweep: took over ${counted(runs.length, 'run')} of a worker that died`, undefined, { count: runs.length });
    metrics.workersLost.add(new Set(runs.map(({ sessionId }) => sessionId)).size);
    metrics.runsTakenOver.add(runs.length);
    notices.endedElsewhere(runs.flatMap(({ id, name, status }) => (status === 'failed' ? { id, name, status } : [])));
    const pending = runs.filter(({ status }) => status === 'pending').map(({ id }) => id);
    await Promise.all([notifier.notify(runs.flatMap(({ parent }) => parent ?? [])), returned(pending)]);
  }
}
