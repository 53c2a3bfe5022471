import type { Bench } from '../bench.js';
import { openFloor, rateOf, writeRuns } from '../floor-writes.js';

const BATCH = 100;

/** Runs per second where the same writes leave as statements of 100 rows, on 4 connections. */
export async function floorBatched({ server, quick }: Bench): Promise<number> {
  const floor = await openFloor(server, 4);
  try {
    await rateOf(floor.clients, 0.3, (client) => writeRuns(client, BATCH));
    return BATCH * (await rateOf(floor.clients, quick ? 1.5 : 3, (client) => writeRuns(client, BATCH)));
  } finally {
    await floor.close();
  }
}
