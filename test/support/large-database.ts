import type { TestDatabase } from './database.js';

/**
 * Fills the tables of a migrated database with ended and waiting runs, one for each minute before
 * now, each with a step, a tag and an event. A million runs take about a minute.
 *
 * No run is cancelled, running, pending or paused. The oldest 300 runs have version 1, one run in
 * 20,000 is of the workflow `rare`, and one failed run has the error code `RARE`. The oldest 999
 * runs were started by the schedule `report`.
 */
export async function fillDatabase({ query }: TestDatabase, runs: number): Promise<void> {
  await query(
    `INSERT INTO durable.workflow_runs
      (id, name, queue, version, status, created_at, started_at, finished_at, error_code, failed_step, start_nonce, input, continued_as, schedule, due_at)
    SELECT n::text, CASE WHEN n % 20000 = 1 THEN 'rare' ELSE 'order' END, 'default', 1 + (n > 300)::int, status, at, at,
      CASE WHEN status <> 'waiting' THEN at + interval '1 second' END,
      CASE WHEN status = 'failed' THEN CASE WHEN n = 20 THEN 'RARE' ELSE 'OFTEN' END END, CASE WHEN status = 'failed' THEN 'charge' END,
      n, '1', CASE WHEN status = 'completed' AND n % 50 = 3 THEN (n + 1)::text END,
      CASE WHEN n < 1000 THEN 'report' END, CASE WHEN n < 1000 THEN at END
    FROM (SELECT n, now() - (${runs} - n) * interval '1 minute' AS at,
      CASE WHEN n % 20 = 0 THEN 'failed' WHEN n % 50 = 2 THEN 'waiting' ELSE 'completed' END AS status
      FROM generate_series(1, ${runs}) n) AS run`,
  );
  await query(
    `INSERT INTO durable.workflow_tags (run_id, key, value) SELECT n::text, 'customer', (n % 900)::text FROM generate_series(1, ${runs}) n`,
  );
  await query(
    `INSERT INTO durable.workflow_steps (run_id, step_key, kind, seq, status, output, attempts, called_after, called_after_io, epoch, started_at, finished_at)
    SELECT n::text, 'charge', 'step', 1, 'completed', '1', 1, 0, false, 1, now(), now() FROM generate_series(1, ${runs}) n`,
  );
  await query(
    `INSERT INTO durable.workflow_events (name, id, key, payload, emitted_at, happened_at, dispatched_at)
    SELECT CASE WHEN n % 20000 = 1 THEN 'rare' ELSE 'paid' END, n::text, (n % 900)::text, 'true', at, at, at
    FROM (SELECT n, now() - (${runs} - n) * interval '1 minute' AS at FROM generate_series(1, ${runs}) n) AS event`,
  );
  await query('VACUUM (ANALYZE) durable.workflow_runs, durable.workflow_tags, durable.workflow_steps, durable.workflow_events');
}
