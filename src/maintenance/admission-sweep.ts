import { performance } from 'node:perf_hooks';

import type { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import { adoptPending, adoptSlice } from '../store/sql/adopt-runs.js';
import { takeQueuesToSweep } from '../store/sql/queues.js';
import type { Sweep } from './sweep.js';

const EVERY_MS = 1_000;
/** Milliseconds that one sweep spends on runs from before their queue had limits. */
const ADOPTING_MS = 500;
/** Milliseconds until the next sweep while there are more of these runs. */
const MORE_MS = 50;

/**
 * Admits runs of queues with limits that wait although there is a place. An example is a process
 * that died between the end of a run and the next admission. Also brings runs from before their
 * queue had limits under these limits. Executes no statement while no queue has limits.
 */
export class AdmissionSweep implements Sweep {
  readonly failure = 'sweep: could not admit runs of queues with limits';
  readonly everyMs = EVERY_MS;

  constructor(
    private readonly database: Database,
    private readonly admissions: Admissions,
  ) {}

  async run(signal: AbortSignal): Promise<number | undefined> {
    if (!this.database.queues.isAny) return undefined;
    const isMore = await this.adopt(signal);
    for (const queue of await takeQueuesToSweep(this.database, EVERY_MS * 0.7)) {
      if (signal.aborted) return undefined;
      await this.admissions.request(queue);
    }
    return isMore ? MORE_MS : undefined;
  }

  /** Adopts runs for a bounded time. Returns true when there may be more. */
  private async adopt(signal: AbortSignal): Promise<boolean> {
    const until = performance.now() + ADOPTING_MS;
    let isPending = true;
    let progress: 'done' | 'more' | 'locked' = 'more';
    while ((isPending || progress === 'more') && !signal.aborted) {
      if (performance.now() > until) return true;
      if (isPending) isPending = await adoptPending(this.database);
      if (progress === 'more') progress = await adoptSlice(this.database);
    }
    return false;
  }
}
