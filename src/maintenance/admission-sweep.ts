import { performance } from 'node:perf_hooks';

import type { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import { adoptPending, adoptSlice } from '../store/sql/adopt-runs.js';
import { forgetKeys } from '../store/sql/forget-keys.js';
import { postponeSweep, takeQueuesToSweep } from '../store/sql/queues.js';
import type { Sweep } from './sweep.js';

const EVERY_MS = 1_000;
/** Milliseconds that one sweep spends on runs from before their queue had limits. */
const ADOPTING_MS = 500;
/** Milliseconds until the next sweep while there are more of these runs. */
const MORE_MS = 50;
/** Milliseconds of an admission from which the next sweep of the queue is postponed. */
const LONG_MS = 50;
/**
 * The next sweep of the queue waits this many times as long as the admission took, within limits.
 */
const PAUSES = 20;
const MOST_PAUSE_MS = 60_000;
const FORGET_EVERY_MS = 600_000;
const BATCH_KEYS = 1_000;

/**
 * Admits runs of queues with limits that wait although there is a place. An example is a process
 * that died between the end of a run and the next admission. Also brings runs from before their
 * queue had limits under these limits. Executes no statement while no queue has limits.
 */
export class AdmissionSweep implements Sweep {
  readonly failure = 'sweep: could not admit runs of queues with limits';
  readonly everyMs = EVERY_MS;

  /** Time of the next deletion of keys, by performance.now(). */
  private forgetAt = 0;

  constructor(
    private readonly database: Database,
    private readonly admissions: Admissions,
  ) {}

  async run(signal: AbortSignal): Promise<number | undefined> {
    if (!this.database.queues.isAny) return undefined;
    const isMore = await this.adopt(signal);
    for (const queue of await takeQueuesToSweep(this.database, EVERY_MS * 0.7)) {
      if (signal.aborted) return undefined;
      await this.admit(queue);
    }
    await this.forget(signal);
    return isMore ? MORE_MS : undefined;
  }

  /** Admits runs of a queue. A long admission postpones the next sweep of the queue. */
  private async admit(queue: string): Promise<void> {
    await this.admissions.request(queue);
    const ms = this.admissions.lastLookMs(queue);
    if (ms >= LONG_MS) await postponeSweep(this.database, queue, Math.min(ms * PAUSES, MOST_PAUSE_MS));
  }

  /** Deletes keys whose rate limits were last used long ago. */
  private async forget(signal: AbortSignal): Promise<void> {
    if (performance.now() < this.forgetAt) return;
    this.forgetAt = performance.now() + FORGET_EVERY_MS;
    for (let count = BATCH_KEYS; count === BATCH_KEYS && !signal.aborted;) count = await forgetKeys(this.database, BATCH_KEYS);
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
