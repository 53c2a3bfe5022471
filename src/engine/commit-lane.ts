/**
 * Keeps the numbers of a run's results exact while a step commits in a transaction of its own. The
 * transaction writes the next number (`seq`), and may still fail. Until the outcome is known, no
 * other result gets a number, and no other transactional step of the run commits.
 */
export class CommitLane {
  private isTaken = false;
  private readonly committing: (() => void)[] = [];
  private results: (() => void)[] = [];

  /** True while a transaction commits. */
  get isHeld(): boolean {
    return this.isTaken;
  }

  /** Calls `enter` when the transaction that holds the lane leaves it. */
  wait(enter: () => void): void {
    this.results.push(enter);
  }

  /** Takes the lane. Resolves once all earlier transactions have left the lane. */
  take(): Promise<void> {
    if (this.isTaken) return new Promise((resolve) => this.committing.push(resolve));
    this.isTaken = true;
    return Promise.resolve();
  }

  /** Leaves the lane. Results that waited get their numbers before the next transaction. */
  leave(): void {
    this.isTaken = false;
    const waiting = this.results;
    this.results = [];
    for (const enter of waiting) enter();
    const next = this.committing.shift();
    if (!next) return;
    this.isTaken = true;
    next();
  }
}
