import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import { claimSuspects, markExclusive, type Claim, type ClaimedRun } from '../store/sql/claim-runs.js';

/** Milliseconds between two searches for suspect runs. */
const SEARCH_EVERY_MS = 500;
/**
 * Maximum number of milliseconds that a quarantine lasts for runs that were lost twice. Each
 * further loss doubles this limit.
 */
const FIRST_LIMIT_MS = 5_000;
const MAX_LIMIT_MS = 600_000;

/** The functions of the worker that its quarantine calls. */
export interface QuarantineDelegate {
  /** Executes the runs now. */
  execute(runs: readonly ClaimedRun[], fence: SessionFence): Promise<void>;
  handBack(runs: readonly ClaimedRun[]): void;
  /** Keeps the session valid for at least this long, even while the event loop is blocked. */
  outlive(ms: number): Promise<void>;
  /** Asks the worker to call `advance` soon, because the quarantine may begin or end. */
  wake(): void;
}

/**
 * Executes suspect runs without any other run beside them. A run is suspect when it was lost with
 * its worker more than once. If such a run kills its worker, no other run is lost. This worker
 * claims some suspects, lets its active runs finish, executes the suspects alone, and then
 * continues as before. Other workers are not affected. The quarantine has a time limit, so that
 * long runs that are innocent do not stop the claims of this worker. The more often a run was lost,
 * the longer its quarantine may last.
 */
export class Quarantine {
  private state: 'none' | 'held' | 'executing' = 'none';
  private heldRuns: readonly ClaimedRun[] = [];
  private nextSearch = 0;
  private deadline = 0;
  private timer: NodeJS.Timeout | undefined;
  /** Id of the run that is executed alone; null when no run is. */
  exclusiveRunId: string | null = null;

  constructor(
    private readonly database: Database,
    private readonly host: QuarantineDelegate,
  ) {}

  /** True while this worker must begin no other run. */
  get isActive(): boolean {
    return this.state !== 'none';
  }

  /** Suspect runs that were claimed and have not begun. */
  get held(): readonly ClaimedRun[] {
    return this.heldRuns;
  }

  get isSearchDue(): boolean {
    return this.state === 'none' && performance.now() >= this.nextSearch;
  }

  /** Claims suspect runs. If there are any, the quarantine begins. */
  async search(claim: Claim): Promise<void> {
    this.nextSearch = performance.now() + SEARCH_EVERY_MS;
    const runs = await claimSuspects(this.database, claim);
    if (runs.length === 0) return;
    this.heldRuns = runs;
    this.state = 'held';
    this.limit(runs);
  }

  /**
   * Begins to execute the suspect runs once the worker executes nothing else. Ends the quarantine
   * when these runs have ended or the time limit has passed.
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

  /** Ends the quarantine. Returns the suspect runs that were claimed and have not begun. */
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
    const ms = Math.min(FIRST_LIMIT_MS * 2 ** Math.max(0, losses - 2), MAX_LIMIT_MS);
    this.deadline = performance.now() + ms;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.host.wake(), ms + 1);
    return ms;
  }
}
