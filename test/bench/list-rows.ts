import { withClient } from './server.js';

/** Period over which the creation times of the runs are spread, in days. */
const DAYS = 30;
const BATCH = 50_000;

/**
 * Inserts runs of 30 days, the oldest first, with two tags each. One run in a hundred has failed,
 * one in a hundred sleeps, one in a thousand was cancelled, and another one was continued. The
 * newest hundred are pending. The oldest ten have a name, a queue, and an error code of their own;
 * the oldest tenth has version 1, all others version 2. Then analyses the tables.
 */
export async function insertListed(url: string, runs: number, progress: (rows: number) => void): Promise<void> {
  const end = Date.now();
  await withClient(url, async (client) => {
    for (let from = 1; from <= runs; from += BATCH) {
      const to = Math.min(runs, from + BATCH - 1);
      await client.query(LISTED_RUNS, [from, to, runs, end]);
      await client.query(LISTED_TAGS, [from, to, runs]);
      if (to % 200_000 === 0 || to === runs) progress(to);
    }
    await client.query('VACUUM (ANALYZE) durable.workflow_runs, durable.workflow_tags');
  });
}

/** Number of customers: each has 40 runs. */
export const customersOf = (runs: number): number => runs / 40;

/** The run whose 40 children are among the 400 runs from `400 * parent` on. */
export const parentId = (parent: number): string => `run-${String(parent).padStart(9, '0')}`;

const idOf = (number: string): string => `'run-' || lpad((${number})::text, 9, '0')`;

const LISTED_RUNS = `INSERT INTO durable.workflow_runs (id, name, queue, version, input, start_nonce, epoch, created_at, started_at, finished_at, ready_at,
  wake_at, status, is_blocked, output, error_code, failed_step, parent_run_id, continued_as)
SELECT ${idOf('n')}, CASE WHEN n <= 10 THEN 'rare' ELSE (ARRAY['order', 'invoice', 'mail'])[1 + n % 3] END,
  CASE WHEN n <= 10 THEN 'rare' WHEN n % 10 = 9 THEN 'slow' ELSE 'default' END, CASE WHEN n <= total / 10 THEN 1 ELSE 2 END,
  '{"n":1}', n, 1, at, CASE WHEN status <> 'pending' THEN at END,
  CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN at + interval '1 second' END, CASE WHEN status = 'pending' THEN at END,
  CASE WHEN status = 'waiting' THEN now() + interval '1 day' END, status, status = 'waiting' AND n % (total / 20) = 51,
  CASE WHEN status = 'completed' THEN '4'::json END,
  CASE WHEN status = 'failed' THEN CASE WHEN n <= 1000 THEN 'RARE' WHEN n / 100 % 2 = 0 THEN 'CARD_DECLINED' ELSE 'NO_STOCK' END END,
  CASE WHEN status = 'failed' THEN (ARRAY['charge', 'reserve', 'mail'])[1 + n / 100 % 3] END,
  CASE WHEN n % 10 = 3 AND n >= 400 THEN ${idOf('n / 400')} END, CASE WHEN n % 1000 = 213 AND status = 'completed' THEN ${idOf('n + 1')} END
FROM (
  SELECT n, $3::int AS total, to_timestamp($4::float8 / 1000) - ($3::int - n) * (interval '${DAYS} days' / $3::int) AS at,
    CASE WHEN n > $3::int - 100 THEN 'pending' WHEN n % 100 = 7 THEN 'failed' WHEN n % 100 = 51 THEN 'waiting'
      WHEN n % 1000 = 13 THEN 'cancelled' ELSE 'completed' END AS status
  FROM generate_series($1::int, $2::int) n
) AS run`;

const LISTED_TAGS = `INSERT INTO durable.workflow_tags (run_id, key, value)
SELECT ${idOf('n')}, key, CASE key WHEN 'customer' THEN (n % ($3::int / 40))::text ELSE (ARRAY['eu', 'us', 'ap'])[1 + n % 7 % 3] END
FROM generate_series($1::int, $2::int) n, unnest(ARRAY['customer', 'region']) key`;
