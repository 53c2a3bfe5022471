import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { surveySessions, takeOver, type LostRun } from '../store/sql/sessions.js';

/** With few sessions each looks so often; with many, they look in turn, so that the load does not grow with their number. */
const LOOK_EVERY_MS = 300;
const SESSIONS_PER_LOOK = 4;

export interface SessionSweeperOptions {
  /** The id of this process's own session, which it never takes over. */
  readonly self: () => string | undefined;
  readonly sessionTtlMs: number;
  readonly tookOver: (runs: readonly LostRun[]) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Takes over the runs of sessions that have died: at once where the session's lock is gone (the server frees it when the process dies), else when
 * its row has expired. A lock must be missing twice in a row, because a living process may be making its connection anew.
 */
export class SessionSweeper {
  private timer: NodeJS.Timeout | undefined;
  private unlockedBefore: ReadonlySet<string> = new Set();
  private looking = false;
  private running = false;
  /** After trouble with the database, others need time to renew what expired meanwhile. */
  private expiredOnlyAfter = 0;

  constructor(
    private readonly database: Database,
    private readonly options: SessionSweeperOptions,
  ) {}

  start(): void {
    this.running = true;
    this.schedule(1);
  }

  async stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.timer);
    while (this.looking) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  private schedule(sessions: number): void {
    const pause = LOOK_EVERY_MS * Math.max(1, sessions / SESSIONS_PER_LOOK);
    this.timer = setTimeout(() => void this.look(), pause * (0.8 + Math.random() * 0.4));
  }

  private async look(): Promise<void> {
    this.looking = true;
    let sessions = 1;
    // Before the survey: while this process closes, its session is still there when the worker knows none any more.
    const self = this.options.self();
    try {
      const survey = await surveySessions(this.database);
      sessions = survey.count;
      const unlocked = survey.unlocked.filter((id) => id !== self);
      const dead = unlocked.filter((id) => this.unlockedBefore.has(id));
      this.unlockedBefore = new Set(unlocked);
      if (performance.now() >= this.expiredOnlyAfter)
        await this.take(
          survey.expired.filter((id) => id !== self),
          'expired',
        );
      await this.take(dead, 'unlocked');
    } catch (error) {
      this.unlockedBefore = new Set();
      this.expiredOnlyAfter = performance.now() + this.options.sessionTtlMs / 2;
      this.options.failed(error);
    } finally {
      this.looking = false;
      if (this.running) this.schedule(sessions);
    }
  }

  private async take(ids: readonly string[], evidence: 'expired' | 'unlocked'): Promise<void> {
    if (ids.length === 0) return;
    const runs = await takeOver(this.database, ids, evidence);
    if (runs.length > 0) this.options.tookOver(runs);
  }
}
