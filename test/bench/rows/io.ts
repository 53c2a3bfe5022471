import type { Bench } from '../bench.js';
import { IN_PRODUCTION, startChild } from '../processes/child.js';
import type { WaitingAlone, WaitingRuns } from '../processes/io.js';
import type { Load } from '../produce.js';
import { median, pairedRatio } from '../statistics.js';
import { WAITS_PER_RUN } from '../waiting-workflow.js';

/** Milliseconds after which the other process answers. */
const WAIT_MS = 20;
/** The default of `worker.concurrency`. */
const CONCURRENCY = 50;
const IN_FLIGHT = 500;

/**
 * Runs of three steps that each wait 20 ms for a socket, over the same requests without runs, with
 * default options.
 */
export async function io({ server, quick, say }: Bench) {
  const load: Load = { runs: quick ? 2_000 : 10_000, inFlight: IN_FLIGHT, maxSeconds: quick ? 4 : 30 };
  const database = await server.createDatabase();
  const echo = startChild('echo', [String(WAIT_MS)]);
  try {
    const port = await echo.message<number>();
    const settings = [database.url, port, CONCURRENCY, quick ? 1 : 3, JSON.stringify(load)];
    const child = startChild('io', settings.map(String), IN_PRODUCTION);
    try {
      await child.message();
      const runs: number[] = [];
      const alone: number[] = [];
      for (let round = 0; round < (quick ? 2 : 5); round++) {
        await server.checkpoint();
        const before = await child.ask<WaitingAlone>('wait');
        const { runsPerSecond, mostBodies } = await child.ask<WaitingRuns>('work');
        const after = await child.ask<WaitingAlone>('wait');
        // With more bodies at a time, the requests alone would be no upper bound.
        if (mostBodies > CONCURRENCY) throw new Error(`${mostBodies} bodies waited at a time, the limit is ${CONCURRENCY}`);
        runs.push(runsPerSecond);
        alone.push((before.runsPerSecond + after.runsPerSecond) / 2);
      }
      const runsPerSecond = median(runs);
      const result = {
        runsPerSecond,
        perWaiting: pairedRatio(runs, alone),
        waitingRunsPerSecond: median(alone),
        perNominal: runsPerSecond / ((CONCURRENCY / (WAITS_PER_RUN * WAIT_MS)) * 1_000),
        waitMs: WAIT_MS,
        inFlight: IN_FLIGHT,
        rounds: { runs, alone },
      };
      say(`io: ${runsPerSecond.toFixed(0)} runs/s, the waiting alone allows ${result.waitingRunsPerSecond.toFixed(0)}`);
      return { io: result };
    } finally {
      await child.kill();
    }
  } finally {
    await echo.kill();
    await database.drop();
  }
}
