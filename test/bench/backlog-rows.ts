import type pg from 'pg';
import { withClient } from './server.js';

/** Rows of a system that has been in use for a while, of the workflow that is measured. */
export async function insertBacklog(url: string): Promise<void> {
  await withClient(url, async (client) => {
    for (const text of STATEMENTS) await client.query(text, text.includes('unknown-') ? [10_000] : [100_000]);
  });
}

/** Rows of runs that any worker may claim at once. */
export async function insertDue(client: pg.Client, runs: number): Promise<void> {
  await client.query(
    `${RUNS}, ready_at) SELECT 'due-' || n, ${SAME}, 1, '{"n":1}', n, now(), 'pending', 0, now() FROM generate_series(1, $1::int) n`,
    [runs],
  );
}

/** Inserts runs of three steps that ended 40 days ago. */
export async function insertExpired(client: pg.Client, from: number, runs: number): Promise<void> {
  const between = [from + 1, from + runs];
  await client.query(EXPIRED_RUNS, between);
  await client.query(EXPIRED_STEPS, between);
}

/** Number of runs that `insertExpired` has inserted and nobody has deleted. */
export async function countExpired(client: pg.Client): Promise<number> {
  const text = `SELECT count(*)::int AS n FROM durable.workflow_runs WHERE created_at < now() - interval '30 days'`;
  return (await client.query<{ n: number }>(text)).rows[0]!.n;
}

/**
 * Inserts the rows of a system that has been in use for long: runs that have ended, one a second,
 * and runs that sleep. The steps of the ended runs are left out: claims and starts do not read
 * them, and they would take three times the room.
 */
export async function insertYears(client: pg.Client, ended: number, sleeping: number, progress: (rows: number) => void): Promise<void> {
  const inBatches = async (rows: number, statements: readonly string[]): Promise<void> => {
    for (let from = 1; from <= rows; from += YEARS_BATCH) {
      const to = Math.min(rows, from + YEARS_BATCH - 1);
      for (const text of statements) await client.query(text, [from, to]);
      progress(to);
    }
  };
  await inBatches(ended, [LONG_ENDED]);
  await inBatches(sleeping, [LONG_ASLEEP, LONG_WAITS]);
  await client.query('VACUUM (ANALYZE) durable.workflow_runs, durable.workflow_waits');
}

const YEARS_BATCH = 500_000;

const RUNS = 'INSERT INTO durable.workflow_runs (id, name, queue, version, input, start_nonce, created_at, status, epoch';
const SAME = `'three-steps', 'default'`;
const LATER = `now() + interval '1 day' + n * interval '10 seconds'`;
const EARLIER = `now() - interval '1 day' + n * interval '500 milliseconds'`;

const STATEMENTS = [
  // They have started and sleep.
  `${RUNS}, started_at, wake_at) SELECT 'sleeping-' || n, ${SAME}, 1, '{"n":1}', n, ${EARLIER}, 'waiting', 1, ${EARLIER}, ${LATER} FROM generate_series(1, $1::int) n`,
  `INSERT INTO durable.workflow_waits (run_id, step_key, kind, wake_at, opened_at) SELECT 'sleeping-' || n, 'sleep', 'sleep', ${LATER}, ${EARLIER} FROM generate_series(1, $1::int) n`,
  // They are to start later.
  `${RUNS}, wake_at) SELECT 'delayed-' || n, ${SAME}, 1, '{"n":1}', n, ${EARLIER}, 'waiting', 0, ${LATER} FROM generate_series(1, $1::int) n`,
  // They have ended.
  `${RUNS}, started_at, finished_at, output) SELECT 'ended-' || n, ${SAME}, 1, '{"n":1}', n, ${EARLIER}, 'completed', 1, ${EARLIER}, ${EARLIER}, '4' FROM generate_series(1, $1::int) n`,
  `INSERT INTO durable.workflow_steps (run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, called_after_io, kind, status, output)
   SELECT 'ended-' || n, (ARRAY['one', 'two', 'three'])[s], ${EARLIER}, ${EARLIER}, s, 1, 1, s - 1, false, 'step', 'completed', '1'
   FROM generate_series(1, $1::int) n, generate_series(1, 3) s`,
  // They are due, but nobody here knows their version; and they are older than what comes.
  `${RUNS}, ready_at) SELECT 'unknown-' || n, ${SAME}, 99, '{"n":1}', n, ${EARLIER}, 'pending', 0, ${EARLIER} FROM generate_series(1, $1::int) n`,
];

const BEFORE = `now() - interval '1 day' - n * interval '1 second'`;
const LONG_ENDED = `${RUNS}, started_at, finished_at, output) SELECT 'ended-' || n, ${SAME}, 1, '{"n":1}', n, ${BEFORE}, 'completed', 1, ${BEFORE}, ${BEFORE}, '4' FROM generate_series($1::int, $2::int) n`;
const LONG_ASLEEP = `${RUNS}, started_at, wake_at) SELECT 'sleeping-' || n, ${SAME}, 1, '{"n":1}', n, ${BEFORE}, 'waiting', 1, ${BEFORE}, ${LATER} FROM generate_series($1::int, $2::int) n`;
const LONG_WAITS = `INSERT INTO durable.workflow_waits (run_id, step_key, kind, wake_at, opened_at) SELECT 'sleeping-' || n, 'sleep', 'sleep', ${LATER}, ${BEFORE} FROM generate_series($1::int, $2::int) n`;

const LONG_AGO = `now() - interval '40 days' + n * interval '10 milliseconds'`;
const EXPIRED_RUNS = `${RUNS}, started_at, finished_at, output) SELECT 'expired-' || n, ${SAME}, 1, '{"n":1}', n, ${LONG_AGO}, 'completed', 1, ${LONG_AGO}, ${LONG_AGO}, '4' FROM generate_series($1::int, $2::int) n`;
const EXPIRED_STEPS = `INSERT INTO durable.workflow_steps (run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, called_after_io, kind, status, output)
  SELECT 'expired-' || n, (ARRAY['one', 'two', 'three'])[s], ${LONG_AGO}, ${LONG_AGO}, s, 1, 1, s - 1, false, 'step', 'completed', '1'
  FROM generate_series($1::int, $2::int) n, generate_series(1, 3) s`;
