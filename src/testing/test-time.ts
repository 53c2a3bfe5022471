import type { ManualClock } from '../core/manual-clock.js';
import { sleep } from '../core/timers.js';
import type { ScopedRuntime } from '../host/runtime-scope.js';
import { readActivity, type Activity } from './application-activity.js';
import { moveClock } from './database/sql-clock.js';
import type { TestDatabase } from './database/test-database.js';
import { WorkflowTestError } from './errors.js';
import { RunningTime } from './running-time.js';
import { StallWatch } from './stall-watch.js';

/** Milliseconds between two reads of the application's activity. */
const LOOK_MS = 1;

/** Milliseconds of running time after which a step body that `advance` meets counts as hanging. */
const HANGS_AFTER_MS = 1_000;

/** Milliseconds of running time after which `runUntilIdle` gives up on the same step bodies. */
const GIVE_UP_AFTER_MS = 4_000;

/** Time of an application under test: it stands still until the test moves it. */
export class TestTime {
  constructor(
    private readonly clock: ManualClock,
    private readonly database: TestDatabase,
    private readonly runtimes: readonly ScopedRuntime[],
  ) {}

  /** Moves the clocks of the database and of the process to the same time. */
  async moveTo(time: number): Promise<void> {
    await this.database.query(moveClock(this.runtimes.map(({ database }) => database.schema)), [time]);
    this.clock.moveTo(time);
    for (const { database, workers } of this.runtimes) {
      workers.polling?.noteWake(Number.NEGATIVE_INFINITY);
      database.listened.onAvailable();
    }
  }

  /** Moves time forward from one due time to the next, and lets the application work at each. */
  async advanceBy(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    for (;;) {
      const { nextWake } = await this.settled(HANGS_AFTER_MS);
      if (nextWake > end) break;
      await this.moveTo(nextWake);
    }
    await this.moveTo(end);
    await this.settled(HANGS_AFTER_MS);
  }

  /**
   * Resolves when every run has ended or waits.
   *
   * @throws WorkflowTestError when the same step bodies are executed for too long
   */
  async untilIdle(): Promise<void> {
    const { state, bodies } = await this.settled(GIVE_UP_AFTER_MS);
    if (state === 'idle') return;
    const names = bodies.map(({ stepKey, runId }) => `step "${stepKey}" of run "${runId}"`);
    throw new WorkflowTestError(
      `${names.join(', ')} has been executed for ${GIVE_UP_AFTER_MS / 1_000} s: fake the step, or let its timeout pass with advance()`,
    );
  }

  /**
   * Resolves when every run has ended or waits, or when the same step bodies, and nothing else,
   * have been executed for `patienceMs` of running time.
   *
   * @throws WorkflowTestError when the application stands still, or never becomes idle
   */
  private async settled(patienceMs: number): Promise<Activity> {
    let same = '';
    let since = 0;
    let hasAdmitted = false;
    const time = new RunningTime();
    const watch = new StallWatch(this.runtimes, this.database, time);
    for (;;) {
      const activity = await readActivity(this.runtimes, this.database, this.clock);
      if (activity.state === 'idle') {
        if (hasAdmitted || activity.admissions.length === 0) return activity;
        // Some places are only found free by a sweep, which pauses in real time.
        await Promise.all(activity.admissions.map((admit) => admit()));
        hasAdmitted = true;
        continue;
      }
      hasAdmitted = false;
      const shown = activity.state === 'bodies' ? JSON.stringify(activity.bodies) : '';
      const now = time.now();
      if (shown !== same) [same, since] = [shown, now];
      if (shown !== '' && now - since >= patienceMs) return activity;
      if (activity.state === 'bodies') watch.noteBodies();
      await watch.look();
      await sleep(LOOK_MS);
    }
  }
}
