import type { Bench } from '../bench.js';
import { openUnbatchedFloor } from './floor-unbatched.js';
import { installedRounds } from './installed.js';

const RUNS = 2_000;

/**
 * 2,000 three-step runs, all started at once by a process that has just booted and executes them
 * itself, with default options.
 */
export async function cold(bench: Bench) {
  const floor = await openUnbatchedFloor(bench.server);
  try {
    const result = await installedRounds(bench, floor, 'cold', { form: 'at once', runs: RUNS }, bench.quick ? 3 : 7);
    return { cold: { runs: RUNS, ...result } };
  } finally {
    await floor.close();
  }
}
