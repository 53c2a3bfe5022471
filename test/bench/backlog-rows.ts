import { withClient } from './server.js';

/** Rows of a system that has been in use for a while, of the workflow that is measured. */
export async function insertBacklog(url: string): Promise<void> {
  await withClient(url, async (client) => {
    for (const text of STATEMENTS) await client.query(text, text.includes('unknown-') ? [10_000] : [100_000]);
  });
}

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
