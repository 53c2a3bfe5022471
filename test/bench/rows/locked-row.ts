import { setTimeout as sleep } from 'node:timers/promises';

import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { latenciesWhile } from '../other-runs.js';
import { withClient } from '../server.js';
import { pairedRatio, percentile } from '../statistics.js';
import { Listener, poke } from '../workflows.js';

const SIGNALS = 60;
const SUSPEND_AFTER_MS = 1;

/**
 * Signals to one run whose row another transaction locks: the latency of the other runs of the
 * process meanwhile.
 */
export async function lockedRow(bench: Bench) {
  const { server, quick } = bench;
  const rounds = quick ? 2 : 5;
  const with95: number[] = [];
  const without95: number[] = [];
  const database = await server.createDatabase();
  const application = await startApplication(database.url, { suspendAfter: SUSPEND_AFTER_MS });
  const { client } = application;
  try {
    await latenciesWhile(client, () => sleep(1_000));
    for (let round = 0; round < rounds; round++) {
      const handle = await client.start(Listener);
      while ((await handle.status()) !== 'waiting') await sleep(5);
      await withClient(database.url, async (holder) => {
        await holder.query('BEGIN');
        await holder.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [handle.runId]);
        const alone = await latenciesWhile(client, () => sleep(3_000));
        const over = new AbortController();
        const send = async (n: number): Promise<void> => {
          while (!over.signal.aborted) await handle.signal(poke, { n });
        };
        const beside = await latenciesWhile(client, async () => {
          const senders = Array.from({ length: SIGNALS }, (_, n) => send(n));
          await sleep(3_000);
          over.abort();
          await Promise.all(senders);
        });
        await holder.query('ROLLBACK');
        without95.push(percentile(alone, 0.95));
        with95.push(percentile(beside, 0.95));
      });
      await handle.signal(poke, { n: -1 });
      await handle.result();
    }
  } finally {
    await application.close();
    await database.drop();
  }
  const result = { othersP95: pairedRatio(with95, without95), rounds: { with95, without95 } };
  bench.say(`lockedRow: p95 of other runs ${result.othersP95.toFixed(2)} x`);
  return { lockedRow: result };
}
