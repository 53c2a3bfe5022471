import type { Bench } from '../bench.js';
import { openFloor, rateOf, writeTexts } from '../floor-writes.js';
import { LARGE_BYTES, LARGE_STEPS_PER_RUN, largeText } from '../large-steps.js';
import { IN_PRODUCTION, startChild } from '../processes/child.js';
import type { InstalledLoad, InstalledWork } from '../processes/installed.js';
import { median, pairedRatio } from '../statistics.js';

/** Rows of a statement of the floor: 1 MiB. */
const BATCH = 16;
const BATCH_TEXTS = Array.from({ length: BATCH }, (_, n) => JSON.stringify(largeText(n)));
const BYTES_PER_MB = 1_000_000;

/**
 * Megabytes per second of steps that return 64 KiB, with default options, over the same bytes in
 * plain INSERTs of 16 rows on 4 connections.
 */
export async function payload({ server, quick, say }: Bench) {
  const size = quick ? { runs: 400, maxSeconds: 6 } : { runs: 3_000, maxSeconds: 40 };
  const load: InstalledLoad = { form: 'sustained', workflow: 'large-steps', inFlight: 200, ...size };
  const steps: number[] = [];
  const inserts: number[] = [];
  for (let round = 0; round < (quick ? 2 : 5); round++) {
    const floor = await openFloor(server, 4);
    const database = await server.createDatabase();
    const child = startChild('installed', [database.url, 'eager', JSON.stringify(load)], IN_PRODUCTION);
    const insert = async (seconds: number): Promise<number> => {
      const statements = await rateOf(floor.clients, seconds, (client) => writeTexts(client, BATCH_TEXTS));
      return (statements * BATCH * LARGE_BYTES) / BYTES_PER_MB;
    };
    try {
      await child.message();
      await insert(0.2);
      await server.checkpoint();
      const before = await insert(quick ? 0.7 : 1.5);
      const { runsPerSecond } = await child.ask<InstalledWork>('work');
      const after = await insert(quick ? 0.7 : 1.5);
      steps.push((runsPerSecond * LARGE_STEPS_PER_RUN * LARGE_BYTES) / BYTES_PER_MB);
      inserts.push((before + after) / 2);
      say(`payload: ${steps.at(-1)!.toFixed(1)} MB/s, plain inserts ${inserts.at(-1)!.toFixed(1)} MB/s`);
    } finally {
      await child.kill();
      await floor.close();
      await database.drop();
    }
  }
  return {
    payload: {
      mbPerSecond: median(steps),
      perInserts: pairedRatio(steps, inserts),
      insertsMbPerSecond: median(inserts),
      stepBytes: LARGE_BYTES,
      rounds: { steps, inserts },
    },
  };
}
