import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { openFloor } from '../floor-writes.js';
import { median } from '../statistics.js';
import { ParallelSteps } from '../workflows.js';
import { floorLatency } from './floor-latency.js';

const STEPS = 200;

/** One run of 200 steps in Promise.all, start to result. */
export async function parallel({ server, quick, say }: Bench) {
  const floor = await openFloor(server, 1);
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const one = async (): Promise<number> => {
    const began = performance.now();
    await application.client.execute(ParallelSteps, { steps: STEPS });
    return performance.now() - began;
  };
  try {
    for (let warmUp = 0; warmUp < 10; warmUp++) await one();
    const runs: number[] = [];
    const floors: number[] = [];
    for (let round = 0; round < (quick ? 15 : 51); round++) {
      floors.push(median(await floorLatency(floor.clients[0]!, 5)));
      runs.push(await one());
    }
    const ms = median(runs);
    say(`parallel: ${ms.toFixed(1)} ms`);
    return { parallel: { ms, floorMs: median(floors), rounds: { runs, floors } } };
  } finally {
    await application.close();
    await floor.close();
    await database.drop();
  }
}
