import type { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import { adoptPending, takeQueuesToSweep } from '../store/sql/queues.js';
import type { Sweep } from './sweep.js';

const EVERY_MS = 1_000;

/**
 * Admits runs of queues with limits that wait although there is a place. An example is a process
 * that died between the end of a run and the next admission. Executes no statement while no queue
 * has limits.
 */
export class AdmissionSweep implements Sweep {
  readonly failure = 'sweep: could not admit runs of queues with limits';
  readonly everyMs = EVERY_MS;

  constructor(
    private readonly database: Database,
    private readonly admissions: Admissions,
  ) {}

  async run(signal: AbortSignal): Promise<undefined> {
    if (!this.database.queues.isAny) return undefined;
    await adoptPending(this.database);
    for (const queue of await takeQueuesToSweep(this.database, EVERY_MS * 0.7)) {
      if (signal.aborted) return undefined;
      await this.admissions.request(queue);
    }
    return undefined;
  }
}
