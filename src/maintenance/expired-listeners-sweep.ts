import type { Database } from '../store/database.js';
import { findExpiredListeners, forgetEvents, unsubscribe } from '../store/sql/subscriptions.js';
import type { Sweep } from './sweep.js';

const SWEEP_EVERY_MS = 60_000;
const BATCH_EVENTS = 1_000;

/**
 * Removes listeners that no process has had for a day, with their events. While the database has no
 * listeners, the sweep executes no statement.
 */
export class ExpiredListenersSweep implements Sweep {
  readonly failure = 'sweep: could not remove expired listeners';
  readonly everyMs = SWEEP_EVERY_MS;

  constructor(
    private readonly database: Database,
    private readonly warn: (message: string) => void,
  ) {}

  async run(signal: AbortSignal): Promise<undefined> {
    if (!this.database.listened.isAny) return;
    for (const listener of await findExpiredListeners(this.database)) {
      let removed = 0;
      for (let count = BATCH_EVENTS; count === BATCH_EVENTS && !signal.aborted; removed += count)
        count = await forgetEvents(this.database, listener, BATCH_EVENTS);
      await unsubscribe(this.database, listener);
      if (removed > 0) this.warn(`sweep: removed ${removed} events of listener ${listener}, which no process has had for a day`);
    }
  }
}
