import type { WorkflowClient } from 'nestjs-durable';
import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { openFloor } from '../floor-writes.js';
import { median, pairedRatio, percentile } from '../statistics.js';
import { ThreeSteps } from '../workflows.js';
import { floorLatency } from './floor-latency.js';

/** Runs of one block, between two blocks of the floor. */
const BLOCK = 16;

/** One three-step run after another, start to result, in a process that executes what it starts. */
export async function latency(bench: Bench) {
  const { server, quick } = bench;
  const floor = await openFloor(server, 1);
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const client = floor.clients[0]!;
  try {
    await floorLatency(client, 150);
    await runLatency(application.client, 150);
    const floors: number[][] = [];
    const runs: number[][] = [];
    for (let round = 0; round < (quick ? 20 : 80); round++) {
      floors.push(await floorLatency(client, BLOCK));
      runs.push(await runLatency(application.client, BLOCK));
    }
    const p50s = runs.map((block) => median(block));
    const floorP50s = floors.map((block) => median(block));
    const result = {
      p50: median(runs.flat()),
      p95: percentile(runs.flat(), 0.95),
      perFloor: pairedRatio(p50s, floorP50s),
      rounds: { p50: p50s, floorP50: floorP50s },
    };
    bench.say(`latency: p50 ${result.p50.toFixed(2)} ms, ${result.perFloor.toFixed(2)} x the floor`);
    return { floor: { latency: { p50: median(floors.flat()) } }, latency: result };
  } finally {
    await application.close();
    await floor.close();
    await database.drop();
  }
}

export async function runLatency(client: WorkflowClient, times: number): Promise<number[]> {
  const samples: number[] = [];
  for (let n = 0; n < times; n++) {
    const began = performance.now();
    await client.execute(ThreeSteps, { n });
    samples.push(performance.now() - began);
  }
  return samples;
}
