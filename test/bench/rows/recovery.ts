import type { WorkflowClient } from 'nestjs-durable';
import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { startChild } from '../processes/child.js';
import { LostRuns } from '../recovery-workflow.js';
import type { BenchDatabase } from '../server.js';
import { median } from '../statistics.js';

const RUNS = 50;

/**
 * Milliseconds from the kill -9 of a worker with 50 active runs until all have completed in a
 * second worker that was up before. Both have default options.
 */
export async function recovery({ server, quick, say }: Bench) {
  const database = await server.createDatabase();
  const application = await startApplication(database.url, {}, [LostRuns]);
  try {
    const remaining: number[] = [];
    const rounds: number[] = [];
    for (let round = 0; round < (quick ? 3 : 7); round++) {
      remaining.push(await allHere(application.client));
      rounds.push(await killOne(application.client, database));
    }
    const result = {
      ms: median(rounds),
      worstMs: Math.max(...rounds),
      remainingWorkMs: median(remaining),
      rounds: { ms: rounds, remaining },
    };
    say(`recovery: ${result.ms.toFixed(0)} ms, of which the work itself takes ${result.remainingWorkMs.toFixed(0)} ms`);
    return { recovery: result };
  } finally {
    await application.close();
    await database.drop();
  }
}

/** Executes the same runs without a crash: an upper bound for what is left of the lost ones. */
async function allHere(client: WorkflowClient): Promise<number> {
  const began = performance.now();
  await Promise.all(Array.from({ length: RUNS }, (_, n) => client.execute(LostRuns, { n })));
  return performance.now() - began;
}

async function killOne(client: WorkflowClient, database: BenchDatabase): Promise<number> {
  const victim = startChild('victim', [database.url, String(RUNS)]);
  try {
    const runIds = await victim.message<string[]>();
    const results = runIds.map((id) => client.getHandle(LostRuns, id).result({ timeout: '60s' }));
    const began = performance.now();
    await victim.kill();
    await Promise.all(results);
    return performance.now() - began;
  } finally {
    await victim.kill();
  }
}
