import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { openFloor } from '../floor-writes.js';
import { median, pairedRatio } from '../statistics.js';
import { childTimes, Parent } from '../workflows.js';
import { floorLatency } from './floor-latency.js';

const BLOCK = 16;

/**
 * Milliseconds from invoking an empty child to its result in the parent, one after another, in one
 * process.
 */
export async function child(bench: Bench) {
  const { server, quick } = bench;
  const floor = await openFloor(server, 1);
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const client = floor.clients[0]!;
  const invoke = async (children: number): Promise<number[]> => {
    const handle = await application.client.start(Parent, { children });
    await handle.result();
    return childTimes.get(handle.runId)!;
  };
  try {
    await floorLatency(client, 150);
    await invoke(100);
    const floors: number[] = [];
    const p50s: number[] = [];
    const all: number[] = [];
    for (let round = 0; round < (quick ? 20 : 80); round++) {
      floors.push(median(await floorLatency(client, BLOCK)));
      const samples = await invoke(BLOCK);
      p50s.push(median(samples));
      all.push(...samples);
    }
    const result = { p50: median(all), perFloor: pairedRatio(p50s, floors), rounds: { p50: p50s, floorP50: floors } };
    bench.say(`child: p50 ${result.p50.toFixed(2)} ms, ${result.perFloor.toFixed(2)} x the floor`);
    return { floor: { latency: { p50: median(floors) } }, child: result };
  } finally {
    await application.close();
    await floor.close();
    await database.drop();
  }
}
