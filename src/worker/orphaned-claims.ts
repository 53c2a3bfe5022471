import { performance } from 'node:perf_hooks';

/** A run that the database says is ours. */
interface Owned {
  readonly id: string;
  readonly epoch: number;
}

/**
 * Runs that the database says are ours and that we do not have: a claim gave them to us, and its answer was lost. They are told from those whose answer is
 * still on its way: they have been there for two looks, and no claim is under way that began before the first.
 */
export class OrphanedClaims {
  private seen = new Map<string, { readonly epoch: number; readonly since: number }>();

  /**
   * Of the runs that we do not have, as the database had them just now, those whose claim was lost.
   *
   * @param claimingSince when the claim began that is under way, of performance.now(); infinity when none is
   */
  lost<Run extends Owned>(missing: readonly Run[], claimingSince: number): Run[] {
    const before = this.seen;
    const sighted = ({ id, epoch }: Run) => (before.get(id)?.epoch === epoch ? before.get(id) : undefined);
    const now = performance.now();
    this.seen = new Map(missing.map((run) => [run.id, sighted(run) ?? { epoch: run.epoch, since: now }]));
    return missing.filter((run) => (sighted(run)?.since ?? Number.POSITIVE_INFINITY) < claimingSince);
  }
}
