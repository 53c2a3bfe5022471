import { performance } from 'node:perf_hooks';
import type { Database } from '../store/database.js';
import { faultOf } from '../store/database-errors.js';
import { claimRunsFrom, claimWritable, type Claim, type ClaimedRun, type ClaimPlace } from '../store/sql/claim-runs.js';

/**
 * Milliseconds between two claims from the start of a backlog. Only such claims find runs that sort
 * before the current place: runs with a higher priority, and runs that were committed late.
 */
const FROM_START_EVERY_MS = 250;

/** Claims due runs. While there is a backlog, each claim begins where the previous claim ended. */
export class BacklogCursor {
  private places = new Map<string, ClaimPlace>();
  private fromStartAt = 0;

  constructor(private readonly database: Database) {}

  /**
   * True when the last claim began in the middle of the backlog and found fewer runs than it asked
   * for. The next claim then begins at the start.
   */
  isUnsure = false;

  async claim(claim: Claim): Promise<ClaimedRun[]> {
    if (this.places.size === 0 || performance.now() >= this.fromStartAt) return this.fromStart(claim);
    let runs: ClaimedRun[];
    try {
      runs = await claimRunsFrom(this.database, claim, [...this.places.values()]);
    } catch (error) {
      // The database refuses to claim one of the runs. A claim from the start finds that run and
      // skips it.
      if (faultOf(error) !== 'data') throw error;
      return this.fromStart(claim);
    }
    this.isUnsure = runs.length < claim.limit;
    if (this.isUnsure) this.places.clear();
    else this.note(runs);
    return runs;
  }

  private async fromStart(claim: Claim): Promise<ClaimedRun[]> {
    const { rows: runs, isPartial } = await claimWritable(this.database, claim);
    this.fromStartAt = performance.now() + FROM_START_EVERY_MS;
    this.places.clear();
    this.isUnsure = isPartial;
    if (runs.length === claim.limit) this.note(runs);
    return runs;
  }

  private note(runs: readonly ClaimedRun[]): void {
    for (const { queue, name, version, priority, readyAt } of runs) {
      const key = `${queue}\n${name}\n${version}`;
      const place = this.places.get(key);
      const isLater = !place || priority < place.priority || (priority === place.priority && readyAt > place.readyAt);
      if (isLater) this.places.set(key, { queue, name, version, priority, readyAt });
    }
  }
}
