import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { producePaced } from '../produce-paced.js';
import { withClient } from '../server.js';
import { percentile } from '../statistics.js';
import { ThreeSteps } from '../workflows.js';

/** Milliseconds between the creation of the schedules and the first due time. */
const LEAD_MS = 5_000;

/** Runs per second of other workflows, beside which the schedules are due. */
const OTHER_RUNS = 200;

interface Lateness {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/**
 * Time from a due time to the start of its run, for schedules that are due evenly over one minute,
 * and for schedules that are all due at the same moment. Other runs are executed meanwhile.
 */
export async function schedules({ server, quick, say }: Bench) {
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const [count, seconds] = quick ? [2_000, 12] : [10_000, 60];
  try {
    await application.client.schedules.create('pattern', { workflow: ThreeSteps, every: '1y', input: { n: 1 } });
    const measure = (name: string, spreadMs: number): Promise<Lateness> =>
      withClient(database.url, async (client) => {
        await insert(client, name, count, spreadMs);
        const load = producePaced(application.client, { perSecond: OTHER_RUNS, seconds: seconds + LEAD_MS / 1_000 });
        await allStarted(client, name, count);
        await load;
        return lateness(client, name, count);
      });
    const spread = await measure('spread', seconds * 1_000);
    const atOnce = await measure('at once', 0);
    say(`schedules: ${count} in ${seconds} s late by p95 ${spread.p95.toFixed(0)} ms; at the same moment p95 ${atOnce.p95.toFixed(0)} ms`);
    return { schedules: { count, ...spread, atOnce } };
  } finally {
    await application.close();
    await database.drop();
  }
}

async function insert(client: pg.Client, name: string, count: number, spreadMs: number): Promise<void> {
  await client.query(
    `INSERT INTO durable.workflow_schedules
       (name, workflow, every_ms, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, due_at, fire_at)
     SELECT $1 || ' ' || n, workflow, every_ms, timezone, due.at, overlap, catch_up, catch_up_limit, input, tags, due.at, due.at
     FROM durable.workflow_schedules CROSS JOIN generate_series(0, $2::int - 1) AS n
     CROSS JOIN LATERAL (SELECT now() + ($3::float8 + n * $4::float8 / $2) * interval '1 millisecond' AS at) AS due WHERE name = 'pattern'`,
    [name, count, LEAD_MS, spreadMs],
  );
}

async function allStarted(client: pg.Client, name: string, count: number): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM durable.workflow_schedules WHERE name LIKE $1 || ' %' AND last_run_id IS NOT NULL`,
      [name],
    );
    if (rows[0]!.n === count) return;
    await sleep(250);
  }
}

async function lateness(client: pg.Client, name: string, count: number): Promise<Lateness> {
  const { rows } = await client.query<{ late: number }>(
    `SELECT extract(epoch FROM created_at - due_at)::float8 * 1000 AS late FROM durable.workflow_runs WHERE schedule LIKE $1 || ' %'`,
    [name],
  );
  if (rows.length !== count) throw new Error(`${count} schedules were due, and ${rows.length} runs started`);
  const late = rows.map((row) => row.late);
  return { p50: percentile(late, 0.5), p95: percentile(late, 0.95), max: Math.max(...late) };
}
