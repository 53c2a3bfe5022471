import type pg from 'pg';
import { startApplication, type BenchApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { startChild } from '../processes/child.js';
import { withClient, type BenchDatabase } from '../server.js';
import { median } from '../statistics.js';
import { ManySteps, stepEnds } from '../workflows.js';
import { runLatency } from './latency.js';

const STEPS = 100;
const ADDED_MS = 1;

/** A connection to the server, and its costs. */
interface Way {
  readonly database: BenchDatabase;
  readonly url: string;
  readonly application: BenchApplication;
  readonly trivial: number[];
  readonly step: number[];
  readonly run: number[];
}

/**
 * Measures through two proxies, one of which adds 1 ms to every round trip. The extra cost of a
 * step, over the extra cost of `SELECT 1`, is the number of round trips that a step waits for.
 */
export async function network(bench: Bench) {
  const { server, quick, say } = bench;
  const databases = [await server.createDatabase(), await server.createDatabase()];
  const proxy = startChild('proxy', [databases[0]!.url, '0', String(ADDED_MS)]);
  const ways: Way[] = [];
  try {
    const ports = await proxy.message<number[]>();
    for (const [index, database] of databases.entries()) {
      const url = new URL(database.url);
      url.host = `127.0.0.1:${ports[index]!}`;
      ways.push({ database, url: url.href, application: await startApplication(url.href), trivial: [], step: [], run: [] });
    }
    for (const way of ways) await measure(way);
    for (const way of ways) for (const samples of [way.trivial, way.step, way.run]) samples.length = 0;
    for (let round = 0; round < (quick ? 6 : 20); round++) for (const way of ways) await measure(way);

    const [plain, slow] = ways as [Way, Way];
    const added = (of: 'trivial' | 'step' | 'run'): number => median(slow[of].map((ms, index) => ms - plain[of][index]!));
    const result = {
      roundTripsPerStep: added('step') / added('trivial'),
      roundTripsPerRun: added('run') / added('trivial'),
      addedMs: { roundTrip: added('trivial'), step: added('step'), run: added('run') },
      rounds: ways.map(({ trivial, step, run }) => ({ trivial, step, run })),
    };
    say(`network: ${result.roundTripsPerStep.toFixed(2)} round trips per step, ${result.roundTripsPerRun.toFixed(2)} per run of three`);
    return { network: result };
  } finally {
    for (const { application } of ways) await application.close();
    await proxy.kill();
    for (const database of databases) await database.drop();
  }
}

/**
 * Median milliseconds of a `SELECT 1`, of a step of a long run and of a three-step run. Medians
 * change least on a busy machine.
 */
async function measure({ url, application, trivial, step, run }: Way): Promise<void> {
  trivial.push(await withClient(url, trivialMs));
  const handle = await application.client.start(ManySteps, { steps: STEPS });
  await handle.result();
  const ends = stepEnds.get(handle.runId)!;
  stepEnds.delete(handle.runId);
  step.push(median(ends.slice(1).map((end, index) => end - ends[index]!)));
  run.push(median(await runLatency(application.client, 20)));
}

async function trivialMs(client: pg.Client): Promise<number> {
  const samples: number[] = [];
  for (let n = 0; n < 50; n++) {
    const began = performance.now();
    await client.query({ name: 'trivial', text: 'SELECT 1' });
    samples.push(performance.now() - began);
  }
  return median(samples);
}
