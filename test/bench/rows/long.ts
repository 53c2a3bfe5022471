import type { WorkflowClient } from 'nestjs-durable';
import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { openFloor, writeSteps } from '../floor-writes.js';
import { median, pairedRatio } from '../statistics.js';
import { ManySteps, stepEnds } from '../workflows.js';

const STEPS = 1_000;

/** One run of 1,000 steps one after another, between as many single-row inserts. */
export async function long(bench: Bench) {
  const { server, quick, say } = bench;
  const floor = await openFloor(server, 1);
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  try {
    for (let warmUp = 0; warmUp < 3; warmUp++) await longRun(application.client, STEPS);
    await writeSteps(floor.clients[0]!, STEPS);
    const inserts: number[] = [];
    const runs: Awaited<ReturnType<typeof longRun>>[] = [];
    for (let round = 0; round < (quick ? 5 : 11); round++) {
      const began = performance.now();
      await writeSteps(floor.clients[0]!, STEPS);
      inserts.push((STEPS / (performance.now() - began)) * 1_000);
      runs.push(await longRun(application.client, STEPS));
    }
    const speeds = runs.map((run) => run.stepsPerSecond);
    const result = {
      stepsPerSecond: median(speeds),
      lastOverFirst: median(runs.map((run) => run.lastOverFirst)),
      insertsPerSecond: median(inserts),
      perInserts: pairedRatio(speeds, inserts),
      rounds: { inserts, runs },
    };
    say(`long: ${result.stepsPerSecond.toFixed(0)} steps/s, ${result.insertsPerSecond.toFixed(0)} inserts/s`);
    return { long: result };
  } finally {
    await application.close();
    await floor.close();
    await database.drop();
  }
}

async function longRun(client: WorkflowClient, steps: number) {
  const began = performance.now();
  const handle = await client.start(ManySteps, { steps });
  await handle.result();
  const ms = performance.now() - began;
  const ends = stepEnds.get(handle.runId)!;
  stepEnds.delete(handle.runId);
  const lastHundred = ends[steps]! - ends[steps - 100]!;
  const firstHundred = ends[100]! - ends[0]!;
  return { stepsPerSecond: (steps / ms) * 1_000, lastOverFirst: lastHundred / firstHundred };
}
