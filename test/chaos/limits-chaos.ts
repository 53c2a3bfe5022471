import type { ChaosSettings } from './arguments.js';
import type { Check } from './checks.js';
import type { ChaosDatabase } from './database.js';
import type { Driver } from './driver.js';
import { MOST_AT_ONCE, RATED_RUNS, RATES } from './limits.js';
import { SHARED_NAMES } from './shapes.js';
import { SharedCalls } from './shared-calls.js';
import { checkSpans, PLACES_LEFT, PlaceWatch, SPANS, WATCH_SESSIONS } from './spans.js';

/** Part of a chaos test that only the workload `limits` has. Does nothing in other workloads. */
export class LimitsChaos {
  private fact = '';

  private constructor(
    private readonly database: ChaosDatabase,
    private readonly used: { readonly calls: SharedCalls; readonly watch: PlaceWatch } | undefined,
  ) {}

  /** Needs the tables of the module, and none of the workers. */
  static async begin(settings: ChaosSettings, database: ChaosDatabase, driver: Driver): Promise<LimitsChaos> {
    if (settings.workload !== 'limits') return new LimitsChaos(database, undefined);
    await database.query(`${SPANS}; ${WATCH_SESSIONS}`);
    const used = { calls: new SharedCalls(driver, database, settings), watch: new PlaceWatch(database, MOST_AT_ONCE) };
    return new LimitsChaos(database, used);
  }

  /** Makes the starts that share runs. */
  async happen(at: (ms: number, work: () => Promise<unknown>) => Promise<void>): Promise<void> {
    await this.used?.calls.happen(at);
  }

  /** Workflows of which all runs must end. */
  get names(): readonly string[] {
    return this.used ? SHARED_NAMES : [];
  }

  /** Rows that must be gone some seconds after the last run has ended. */
  get unwanted(): Readonly<Record<string, string>> {
    return this.used ? PLACES_LEFT : {};
  }

  /** Checks of what has happened. Ends the watch. */
  async check(): Promise<Check[]> {
    if (!this.used) return [];
    await this.stop();
    const limits = { mostAtOnce: MOST_AT_ONCE, rates: RATES, ratedRuns: RATED_RUNS };
    const { checks, fact } = await checkSpans(this.database, limits);
    this.fact = fact;
    return [
      ...checks,
      { name: 'the database never had more places than the limits', problems: this.used.watch.problems },
      ...(await this.used.calls.check()),
    ];
  }

  async facts(): Promise<string[]> {
    if (!this.used) return [];
    const [row] = await this.database.query<{ cut: number; batches: number }>(
      `SELECT (SELECT count(*)::int FROM spans WHERE ended IS NULL) AS cut,
        (SELECT count(*)::int FROM durable.workflow_runs WHERE batch_size IS NOT NULL) AS batches`,
    );
    return [`${this.fact}; ${row!.cut} cut off; ${this.used.calls.count} starts that share runs; ${row!.batches} batches`];
  }

  async stop(): Promise<void> {
    await this.used?.watch.stop();
  }
}
