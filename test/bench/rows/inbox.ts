import { setTimeout as sleep } from 'node:timers/promises';

import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { latenciesWhile } from '../other-runs.js';
import { withClient } from '../server.js';
import { pairedRatio, percentile } from '../statistics.js';
import { Busy, poke, releases } from '../workflows.js';

const PER_SECOND = 200;

/**
 * Signals to one busy run that takes them all afterwards: inbox rows read per signal, and the
 * latency of the other runs of the process meanwhile.
 */
export async function inbox(bench: Bench) {
  const { server, quick } = bench;
  const signals = quick ? 600 : 2_000;
  const rounds = quick ? 1 : 3;
  const with95: number[] = [];
  const without95: number[] = [];
  const rowsPerSignal: number[] = [];
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const { client } = application;
  try {
    await latenciesWhile(client, () => sleep(1_000));
    for (let round = 0; round < rounds; round++) {
      const alone = await latenciesWhile(client, () => sleep((signals / PER_SECOND) * 1_000));
      const before = await rowsRead(database.url);
      const handle = await client.start(Busy, { signals });
      const beside = await latenciesWhile(client, async () => {
        const began = performance.now();
        for (let n = 0; n < signals; n++) {
          await handle.signal(poke, { n });
          await sleep(Math.max(0, began + ((n + 1) / PER_SECOND) * 1_000 - performance.now()));
        }
      });
      releases.get(handle.runId)!();
      await handle.result();
      rowsPerSignal.push(((await rowsRead(database.url)) - before) / signals);
      without95.push(percentile(alone, 0.95));
      with95.push(percentile(beside, 0.95));
    }
  } finally {
    await application.close();
    await database.drop();
  }
  const result = { rowsPerSignal: Math.max(...rowsPerSignal), othersP95: pairedRatio(with95, without95), rounds: { with95, without95 } };
  bench.say(`inbox: ${result.rowsPerSignal.toFixed(2)} rows per signal; p95 of other runs ${result.othersP95.toFixed(2)} x`);
  return { inbox: result };
}

/**
 * Inbox rows that statements have read, without those that they deleted. Backends report at most
 * once a second.
 */
async function rowsRead(url: string): Promise<number> {
  await sleep(1_500);
  let rows = 0;
  await withClient(url, async (client) => {
    const result = await client.query<{ rows: string }>(
      `SELECT seq_tup_read + idx_tup_fetch - n_tup_del AS rows FROM pg_stat_user_tables WHERE schemaname = 'durable' AND relname = 'workflow_inbox'`,
    );
    rows = Number(result.rows[0]!.rows);
  });
  return rows;
}
