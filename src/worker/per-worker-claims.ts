import type { ClaimKey } from '../core/run.js';
import type { Database } from '../store/database.js';
import { claimRuns, type Claim, type ClaimedRun } from '../store/sql/claim-runs.js';

/**
 * Claims runs of queues with a limit for each worker. Each such queue has a claim of its own, so
 * that a claim never takes more runs than the limit allows.
 */
export class PerWorkerClaims {
  /** True when a queue may have further due runs, and the limit of this worker is reached. */
  isFull = false;

  /** @param countOf returns how many runs of a queue this process has */
  constructor(
    private readonly database: Database,
    private readonly keys: readonly ClaimKey[],
    private readonly countOf: (queue: string) => number,
  ) {}

  /** Dispatch keys whose queues have no limit for each worker. */
  get otherKeys(): readonly ClaimKey[] {
    const { queues } = this.database;
    return queues.hasPerWorker ? this.keys.filter(({ queue }) => queues.perWorkerOf(queue) === null) : this.keys;
  }

  /**
   * Claims runs of the limited queues.
   *
   * @param limit maximum number of runs over all these queues
   */
  async claim(claim: Omit<Claim, 'keys' | 'limit'>, limit: number): Promise<ClaimedRun[]> {
    const { queues } = this.database;
    this.isFull = false;
    if (!queues.hasPerWorker) return [];
    const claimed: ClaimedRun[] = [];
    for (const queue of new Set(this.keys.map((key) => key.queue))) {
      const perWorker = queues.perWorkerOf(queue);
      if (perWorker === null) continue;
      const room = Math.min(perWorker - this.countOf(queue), limit - claimed.length);
      const keys = this.keys.filter((key) => key.queue === queue);
      const runs = room > 0 ? await claimRuns(this.database, { ...claim, keys, limit: room }) : [];
      if (runs.length >= room) this.isFull = true;
      claimed.push(...runs);
    }
    return claimed;
  }
}
