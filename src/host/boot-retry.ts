import { performance } from 'node:perf_hooks';

import { sleep } from '../core/timers.js';
import { DatabaseUnavailableError } from '../core/errors/index.js';
import { isAway } from '../store/database-errors.js';
import { describeError } from './connection-checks.js';

/**
 * Milliseconds that a boot waits for its database: as long as TypeOrmModule with its default of ten
 * tries, three seconds apart.
 */
export const BOOT_PATIENCE_MS = 30_000;

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 3_000;

/**
 * Repeats a part of the boot that needs the database, while the database is away: restarting,
 * failing over, or not yet up.
 *
 * @param patienceMs milliseconds for which to repeat; 0 tries once
 * @param warn receives a line for each failure that another attempt follows
 * @throws DatabaseUnavailableError when the database is still away after that, and every other
 *   error at once
 */
export async function whileAway<T>(attempt: () => Promise<T>, patienceMs: number, warn: (message: string) => void): Promise<T> {
  const since = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
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
      warn(`the database cannot be reached: ${describeError(error)}; trying again for ${Math.ceil(leftMs / 1_000)} s`);
      await sleep(Math.min(pauseMs, leftMs));
    }
  }
}
