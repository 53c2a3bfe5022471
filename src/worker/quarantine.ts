import type { Database } from '../store/database.js';
import { claimSuspects, noteAlone, type Claim, type ClaimedRun } from '../store/sql/claim-runs.js';

/** How often a worker looks for runs that were lost with another. */
const LOOK_EVERY_MS = 250;

/**
 * Runs that were lost with a worker are executed apart from all others, so that one that kills its worker takes nobody along: this
 * worker claims some, lets what it executes come to an end, executes them by themselves, and goes on as before. The other workers never notice.
 */
export class Quarantine {
  private state: 'none' | 'held' | 'executing' = 'none';
  private heldRuns: readonly ClaimedRun[] = [];
  private lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly database: Database,
    /** Executes the runs now. */
    private readonly execute: (runs: readonly ClaimedRun[], sessionId: string) => Promise<void>,
  ) {}

  /** While it is, nothing else may begin here. */
  get isActive(): boolean {
    return this.state !== 'none';
  }

  /** Whether the run has been claimed and not begun. */
  holds(runId: string): boolean {
    return this.heldRuns.some((run) => run.id === runId);
  }

  get isDueForLook(): boolean {
    return this.state === 'none' && performance.now() - this.lookedAt >= LOOK_EVERY_MS;
  }

  /** Looks for such runs. */
  async look(claim: Claim): Promise<void> {
    this.lookedAt = performance.now();
    const runs = await claimSuspects(this.database, claim);
    if (runs.length === 0) return;
    this.heldRuns = runs;
    this.state = 'held';
  }

  /** The worker has nothing in its hands. */
  async nothingElse(sessionId: string): Promise<void> {
    if (this.state === 'held') {
      const runs = this.heldRuns;
      await noteAlone(this.database, sessionId, runs.length === 1 ? runs[0]!.id : null);
      this.heldRuns = [];
      this.state = 'executing';
      await this.execute(runs, sessionId);
    } else if (this.state === 'executing') {
      await noteAlone(this.database, sessionId, null);
      this.state = 'none';
      this.lookedAt = Number.NEGATIVE_INFINITY;
    }
  }

  /** Forgets everything; returns the runs that have been claimed and not begun. */
  end(): readonly ClaimedRun[] {
    const runs = this.heldRuns;
    this.heldRuns = [];
    this.state = 'none';
    return runs;
  }
}
