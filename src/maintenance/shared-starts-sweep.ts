import type { RunNotices } from '../core/run-notices.js';
import type { Database } from '../store/database.js';
import { decideRequests } from '../store/decide-requests.js';
import { forgetSharedStarts } from '../store/sql/start-requests.js';
import type { Sweep } from './sweep.js';

const BATCH_KEYS = 1_000;

/**
 * Decides starts with `debounce` or `throttle` whose process died after the commit of their
 * transaction, and deletes keys that no longer count.
 */
export class SharedStartsSweep implements Sweep {
  readonly failure = 'sweep: could not decide starts with debounce or throttle';
  readonly everyMs = 5_000;

  constructor(
    private readonly database: Database,
    private readonly notices: Pick<RunNotices, 'due'>,
  ) {}

  async run(signal: AbortSignal): Promise<undefined> {
    await decideRequests(this.database, this.notices);
    for (let count = BATCH_KEYS; count === BATCH_KEYS && !signal.aborted;) count = await forgetSharedStarts(this.database, BATCH_KEYS);
  }
}
