import { TERMINAL_STATUSES } from '../../core/run.js';

/** SQL list of the statuses of runs that have ended. */
export const TERMINAL = `(${TERMINAL_STATUSES.map((status) => `'${status}'`).join(', ')})`;

/** Condition for a run that a message makes due. */
export const IS_WAKEABLE = `(status = 'waiting' AND NOT is_blocked)`;

/** Condition for a waiting or paused run that a request to cancel makes due. */
export const IS_CANCELLABLE = `(status IN ('waiting', 'paused') AND NOT is_blocked)`;

/**
 * Condition for a blocked run. A blocked run is never `pending`: no worker could claim it, and
 * every claim would have to skip it.
 */
export const IS_BLOCKED = `(status IN ('waiting', 'paused') AND is_blocked)`;
