import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from '../store/database.js';
import type { SessionFence } from '../store/session-fence.js';
import { claimSuspects, markExclusive, type Claim, type ClaimedRun } from '../store/sql/claim-runs.js';

/** How often a worker looks for runs that were lost with others. */
const LOOK_EVERY_MS = 500;
/** How long a quarantine lasts at most when its runs were lost twice; twice as long for each further loss. */
const FIRST_LIMIT_MS = 5_000;
const LONGEST_LIMIT_MS = 600_000;

/** What a quarantine needs of its worker. */
export interface QuarantineDelegate {
  /** Executes the runs now. */
  execute(runs: readonly ClaimedRun[], fence: SessionFence): Promise<void>;
  handBack(runs: readonly ClaimedRun[]): void;
  /** The session shall last at least so many milliseconds, also while the event loop is blocked. */
  outlive(ms: number): Promise<void>;
  /** The quarantine may be over, or its turn may have come: look. */
  wake(): void;
}

/**
 * Runs that were lost with a worker more than once are executed apart from all others, so that one that kills its worker takes nobody along: this
 * worker claims some, lets what it executes come to an end, executes them by themselves, and goes on as before. The other workers never notice. It is
 * bounded in time, so that innocent long runs do not stop the intake; the more often a run was lost, the longer it is watched.
 */
export class Quarantine {
  private state: 'none' | 'held' | 'executing' = 'none';
  private heldRuns: readonly ClaimedRun[] = [];
  private nextLook = 0;
  private deadline = 0;
  private timer: NodeJS.Timeout | undefined;
  /** The run that is executed with no other beside it. */
  exclusiveRunId: string | null = null;

  constructor(
    private readonly database: Database,
    private readonly host: QuarantineDelegate,
  ) {}

  /** While it is, nothing else may begin here. */
  get isActive(): boolean {
    return this.state !== 'none';
  }

  /** The runs that have been claimed and not begun. */
  get held(): readonly ClaimedRun[] {
    return this.heldRuns;
  }

  get isDueForLook(): boolean {
    return this.state === 'none' && performance.now() >= this.nextLook;
  }

  /** Looks for such runs. */
  async look(claim: Claim): Promise<void> {
    this.nextLook = performance.now() + LOOK_EVERY_MS;
    const runs = await claimSuspects(this.database, claim);
    if (runs.length === 0) return;
    this.heldRuns = runs;
    this.state = 'held';
    this.limit(runs);
  }

  /** Goes on, if it can: begins once the worker has nothing else in its hands, and ends when its runs have ended or its time is over. */
  async advance(fence: SessionFence, inHand: number): Promise<void> {
    const isLate = performance.now() >= this.deadline;
    if (this.state === 'held' && inHand === 0) {
      const runs = this.heldRuns;
      this.exclusiveRunId = runs.length === 1 ? runs[0]!.id : null;
      await markExclusive(this.database, fence.id, this.exclusiveRunId);
      this.heldRuns = [];
      this.state = 'executing';
      await this.host.outlive(this.limit(runs));
      await this.host.execute(runs, fence);
    } else if (this.state === 'held' && isLate) {
      this.host.handBack(this.end());
      this.nextLook = performance.now() + FIRST_LIMIT_MS;
    } else if (this.state === 'executing' && (inHand === 0 || isLate)) {
      await markExclusive(this.database, fence.id, null);
      this.end();
    }
  }

  /** Forgets everything; returns the runs that have been claimed and not begun. */
  end(): readonly ClaimedRun[] {
    clearTimeout(this.timer);
    const runs = this.heldRuns;
    this.heldRuns = [];
    this.exclusiveRunId = null;
    this.state = 'none';
    return runs;
  }

  /** @returns how long it may take, in milliseconds */
  private limit(runs: readonly ClaimedRun[]): number {
    const losses = Math.max(...runs.map((run) => run.losses));
    const ms = Math.min(FIRST_LIMIT_MS * 2 ** Math.max(0, losses - 2), LONGEST_LIMIT_MS);
    this.deadline = performance.now() + ms;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.host.wake(), ms + 1);
    return ms;
  }
}
