import type { Bench } from '../bench.js';
import { openFloor, rateOf, writeRun } from '../floor-writes.js';

/** Runs per second where each write of a run is a statement of its own, on 10 connections. */
export async function floorUnbatched({ server, quick }: Bench): Promise<number> {
  const floor = await openFloor(server, 10);
  try {
    await rateOf(floor.clients, 0.3, writeRun);
    return await rateOf(floor.clients, quick ? 1.5 : 3, writeRun);
  } finally {
    await floor.close();
  }
}
