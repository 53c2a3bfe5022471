import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';
import { DatabaseUnavailableError } from '../core/errors/index.js';
import { isAway } from '../store/database-errors.js';
import { describeError } from './connection-checks.js';

/**
 * Milliseconds that the boot waits for its database. TypeOrmModule waits as long by default: ten
 * attempts, three seconds apart.
 */
export const BOOT_PATIENCE_MS = 30_000;

const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 3_000;

/**
 * Repeats a part of the boot while the database cannot be reached, for example because the server
 * restarts, fails over or has not started yet.
 *
 * @param patienceMs milliseconds for which the attempt is repeated; 0 means a single attempt
 * @param warn called with a log line after each failure except the last one
 * @returns the result of the attempt that succeeded
 * @throws DatabaseUnavailableError when the database cannot be reached within this time. An error
 *   with another cause than an unreachable database is thrown at once
 */
export async function whileAway<T>(attempt: () => Promise<T>, patienceMs: number, warn: (message: string) => void): Promise<T> {
  const since = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isAway(error)) throw error;
      const waitedMs = performance.now() - since;
      const leftMs = patienceMs - waitedMs;
      if (leftMs <= 0) {
        const time = patienceMs === 0 ? '' : ` for ${Math.round(waitedMs / 1_000)} s`;
        throw new DatabaseUnavailableError(`WorkflowModule could not reach its database${time}: ${describeError(error)}`, { cause: error });
      }
      warn(`database: unreachable: ${describeError(error)}; trying again for ${Math.ceil(leftMs / 1_000)} s`);
      await sleep(Math.min(pauseMs, leftMs));
    }
  }
}
