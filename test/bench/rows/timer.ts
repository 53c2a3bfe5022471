import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowClient } from 'nestjs-durable';
import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { withClient } from '../server.js';
import { percentile } from '../statistics.js';
import { Sleeper, sleepers } from '../workflows.js';

/** Lateness of runs that sleep for 1 s, and for 3 s, which is long enough to be suspended. */
export async function timer({ server, quick, say }: Bench) {
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const [runs, spreadMs] = quick ? [150, 2_500] : [600, 10_000];
  try {
    await sleepMany(application.client, 50, 20, 200);
    const short = await sleepMany(application.client, 1_000, runs, spreadMs);
    const suspended = await sleepMany(application.client, 3_000, runs, spreadMs);
    const result = { ...figures(short), recorded: figures(await recordedOvershoots(database.url)), suspended: figures(suspended) };
    say(
      `timer: late by p50 ${result.p50.toFixed(1)} ms, p95 ${result.p95.toFixed(1)} ms; suspended p95 ${result.suspended.p95.toFixed(1)} ms`,
    );
    return { timer: result };
  } finally {
    await application.close();
    await database.drop();
  }
}

/** Milliseconds from the call of `ctx.sleep` to the code after it, beyond what was asked for. */
async function sleepMany(client: WorkflowClient, ms: number, runs: number, spreadMs: number): Promise<number[]> {
  const began = performance.now();
  const one = async (n: number): Promise<number> => {
    await sleep(began + (n * spreadMs) / runs - performance.now());
    const handle = await client.start(Sleeper, { ms });
    await handle.result();
    const { asleep, awake } = sleepers.get(handle.runId)!;
    sleepers.delete(handle.runId);
    return awake - asleep - ms;
  };
  return Promise.all(Array.from({ length: runs }, (_, n) => one(n)));
}

/** Lateness of the sleeps of 1 s in whole milliseconds, from the recorded times of the steps. */
async function recordedOvershoots(url: string): Promise<number[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ late: number }>(
      `SELECT extract(epoch FROM s.finished_at - s.started_at)::float8 * 1000 - 1000 AS late
        FROM durable.workflow_steps s JOIN durable.workflow_runs r ON r.id = s.run_id WHERE r.input ->> 'ms' = '1000'`,
    );
    return rows.map(({ late }) => late);
  });
}

function figures(late: readonly number[]) {
  return { p50: percentile(late, 0.5), p95: percentile(late, 0.95), max: Math.max(...late), min: Math.min(...late) };
}
