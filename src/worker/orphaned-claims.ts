import { performance } from 'node:perf_hooks';

/** A run that this process owns according to the database. */
interface Owned {
  readonly id: string;
  readonly epoch: number;
}

/**
 * Detects orphaned claims: runs that the database assigned to this process in a claim whose answer
 * was lost. Such a run is missing in memory in two checks in a row, and no claim is in flight that
 * began before the first check. Otherwise the answer may still arrive.
 */
export class OrphanedClaims {
  private seen = new Map<string, { readonly epoch: number; readonly since: number }>();

  /**
   * Returns the runs whose claim was lost.
   *
   * @param missing runs that the database has just assigned to this process and that are not in
   *   memory
   * @param claimingSince start of the oldest claim in flight, by performance.now(); infinity
   *   without one
   */
  lost<Run extends Owned>(missing: readonly Run[], claimingSince: number): Run[] {
    const before = this.seen;
    const sighted = ({ id, epoch }: Run) => (before.get(id)?.epoch === epoch ? before.get(id) : undefined);
    const now = performance.now();
    this.seen = new Map(missing.map((run) => [run.id, sighted(run) ?? { epoch: run.epoch, since: now }]));
    return missing.filter((run) => (sighted(run)?.since ?? Number.POSITIVE_INFINITY) < claimingSince);
  }
}
