import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import { claimSuspects, markExclusive, type Claim, type ClaimedRun } from '../store/sql/claim-runs.js';

/** Milliseconds between two searches for suspect runs. */
const SEARCH_EVERY_MS = 500;
/**
 * Longest quarantine of runs that were lost twice, in milliseconds. Each further loss doubles the
 * limit.
 */
const FIRST_LIMIT_MS = 5_000;
const LONGEST_LIMIT_MS = 600_000;

/** The worker, as its quarantine needs it. */
export interface QuarantineDelegate {
  /** Executes the runs now. */
  execute(runs: readonly ClaimedRun[], fence: SessionFence): Promise<void>;
  handBack(runs: readonly ClaimedRun[]): void;
  /** Makes the session last this long at least, also while the event loop is blocked. */
  outlive(ms: number): Promise<void>;
  /** Advances the quarantine, which may begin or end now. */
  wake(): void;
}

/**
 * Executes suspect runs, which were lost with a worker more than once, apart from all others. A run
 * that kills its worker then takes no other run along. This worker claims some suspects, lets its
 * active runs finish, executes the suspects alone, and continues as before. Other workers do not
 * notice. The quarantine is bounded in time, so that innocent long runs do not stop the claims of
 * this worker. The more often a run was lost, the longer its quarantine lasts.
 */
export class Quarantine {
  private state: 'none' | 'held' | 'executing' = 'none';
  private heldRuns: readonly ClaimedRun[] = [];
  private nextSearch = 0;
  private deadline = 0;
  private timer: NodeJS.Timeout | undefined;
  /** Id of the run that is executed with no other beside it. */
  exclusiveRunId: string | null = null;

  constructor(
    private readonly database: Database,
    private readonly host: QuarantineDelegate,
  ) {}

  /** True while nothing else may begin here. */
  get isActive(): boolean {
    return this.state !== 'none';
  }

  /** Runs that were claimed and have not begun. */
  get held(): readonly ClaimedRun[] {
    return this.heldRuns;
  }

  get isSearchDue(): boolean {
    return this.state === 'none' && performance.now() >= this.nextSearch;
  }

  /** Claims suspect runs, if there are any. */
  async search(claim: Claim): Promise<void> {
    this.nextSearch = performance.now() + SEARCH_EVERY_MS;
    const runs = await claimSuspects(this.database, claim);
    if (runs.length === 0) return;
    this.heldRuns = runs;
    this.state = 'held';
    this.limit(runs);
  }

  /**
   * Begins the quarantine once the worker executes nothing else. Ends the quarantine when its runs
   * have ended or its time is over.
   *
   * @param active number of runs that the worker executes
   */
  async advance(fence: SessionFence, active: number): Promise<void> {
    const isLate = performance.now() >= this.deadline;
    if (this.state === 'held' && active === 0) {
      const runs = this.heldRuns;
      this.exclusiveRunId = runs.length === 1 ? runs[0]!.id : null;
      await markExclusive(this.database, fence.id, this.exclusiveRunId);
      this.heldRuns = [];
      this.state = 'executing';
      await this.host.outlive(this.limit(runs));
      await this.host.execute(runs, fence);
    } else if (this.state === 'held' && isLate) {
      this.host.handBack(this.end());
      this.nextSearch = performance.now() + FIRST_LIMIT_MS;
    } else if (this.state === 'executing' && (active === 0 || isLate)) {
      await markExclusive(this.database, fence.id, null);
      this.end();
    }
  }

  /** Ends the quarantine. Returns the runs that were claimed and have not begun. */
  end(): readonly ClaimedRun[] {
    clearTimeout(this.timer);
    const runs = this.heldRuns;
    this.heldRuns = [];
    this.exclusiveRunId = null;
    this.state = 'none';
    return runs;
  }

  /** Starts the time limit of the quarantine. Returns the limit in milliseconds. */
  private limit(runs: readonly ClaimedRun[]): number {
    const losses = Math.max(...runs.map((run) => run.losses));
    const ms = Math.min(FIRST_LIMIT_MS * 2 ** Math.max(0, losses - 2), LONGEST_LIMIT_MS);
    this.deadline = performance.now() + ms;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.host.wake(), ms + 1);
    return ms;
  }
}
