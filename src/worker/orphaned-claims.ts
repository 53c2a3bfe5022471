import { performance } from 'node:perf_hooks';

/** A run that this process owns according to the database. */
interface Owned {
  readonly id: string;
  readonly epoch: number;
}

/**
 * Detects orphaned claims: runs that the database assigned to this process although the answer to
 * the claim was lost. A run is orphaned when two checks in a row find the run missing in memory.
 * While a claim is in flight that began before the first check, the decision is delayed. The answer
 * to that claim may still return the run.
 */
export class OrphanedClaims {
  private seen = new Map<string, { readonly epoch: number; readonly since: number }>();

  /**
   * Returns the missing runs whose claim is orphaned: the claim succeeded, but its answer was lost.
   *
   * @param missing runs that this process owns according to the database, but that are not in
   *   memory
   * @param claimingSince start of the oldest claim in flight, by performance.now(); infinity when
   *   no claim is in flight
   */
  lost<Run extends Owned>(missing: readonly Run[], claimingSince: number): Run[] {
    const before = this.seen;
    const sighted = ({ id, epoch }: Run) => (before.get(id)?.epoch === epoch ? before.get(id) : undefined);
    const now = performance.now();
    this.seen = new Map(missing.map((run) => [run.id, sighted(run) ?? { epoch: run.epoch, since: now }]));
    return missing.filter((run) => (sighted(run)?.since ?? Number.POSITIVE_INFINITY) < claimingSince);
  }
}
