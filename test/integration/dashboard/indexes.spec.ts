import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { closeApplications } from '../../support/application.js';
import { serveDashboard } from '../../support/dashboard-application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

const RUNS = 60_000;

/** Requests of the page, with each filter that it offers. */
const ADDRESSES: readonly string[] = [
  'overview',
  'counts',
  'workflows',
  'failures',
  'failures?since=30d&by=hour&by=workflow',
  'workers',
  'health',
  'runs/100',
  'runs/100/steps',
  'runs/100/history',
  'runs/100/streams',
  ...[
    '',
    'name=rare',
    'name=order&status=failed',
    'version=1',
    'queue=rare',
    ...['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled', 'continued'].map((status) => `status=${status}`),
    'tag=customer%3D7',
    'errorCode=RARE',
    'failedStep=charge&status=failed',
    'parentRunId=7',
    'schedule=report',
    'blocked=true',
    'createdBefore=40d',
    'createdAfter=1h',
    'status=failed&finishedAfter=24h',
  ].flatMap((query) => [`runs?${query}`, `counts?${query}`]),
];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  const { app } = await serveDashboard(database.url, { guards: [] }, [], { options: { worker: false } });
  await app.close();
  await database.query(
    `INSERT INTO durable.workflow_runs
      (id, name, queue, version, status, created_at, started_at, finished_at, error_code, failed_step, start_nonce, input, continued_as, schedule, due_at)
    SELECT n::text, CASE WHEN n % 20000 = 1 THEN 'rare' ELSE 'order' END, 'default', 1 + (n > 300)::int, status, at, at, CASE WHEN status <> 'waiting' THEN at + interval '1 second' END,
      CASE WHEN status = 'failed' THEN CASE WHEN n = 20 THEN 'RARE' ELSE 'OFTEN' END END, CASE WHEN status = 'failed' THEN 'charge' END, n, '1', CASE WHEN status = 'completed' AND n % 50 = 3 THEN (n + 1)::text END,
      CASE WHEN n < 1000 THEN 'report' END, CASE WHEN n < 1000 THEN at END
    FROM (SELECT n, now() - (${RUNS} - n) * interval '1 minute' AS at, CASE WHEN n % 20 = 0 THEN 'failed' WHEN n % 50 = 1 THEN 'cancelled' WHEN n % 50 = 2 THEN 'waiting' ELSE 'completed' END AS status
      FROM generate_series(1, ${RUNS}) n) AS run`,
  );
  await database.query(
    `INSERT INTO durable.workflow_tags (run_id, key, value) SELECT n::text, 'customer', (n % 900)::text FROM generate_series(1, ${RUNS}) n`,
  );
  await database.query(
    `INSERT INTO durable.workflow_steps (run_id, step_key, kind, seq, status, output, attempts, called_after, called_after_io, epoch, started_at, finished_at)
    SELECT n::text, 'charge', 'step', 1, 'completed', '1', 1, 0, false, 1, now(), now() FROM generate_series(1, ${RUNS}) n`,
  );
  await database.query('VACUUM (ANALYZE) durable.workflow_runs, durable.workflow_tags, durable.workflow_steps');
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

/** Returns the number of rows that scans of whole tables have read. */
const rowsScanned = async (): Promise<number> => {
  // The server counts the reads of a connection at the latest when the connection ends.
  await waitFor(async () => {
    const rows = await database.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    return rows.length === 0;
  });
  const [row] = await database.query<{ rows: string }>(
    `SELECT sum(seq_tup_read) AS rows FROM pg_stat_user_tables WHERE relname IN ('workflow_runs', 'workflow_tags', 'workflow_steps')`,
  );
  return Number(row!.rows);
};

it(`reads no whole table of ${RUNS} runs for any view`, async () => {
  const before = await rowsScanned();
  const { app, url } = await serveDashboard(database.url, { guards: [] }, [], { options: { worker: false } });
  for (const address of ADDRESSES) {
    const response = await fetch(`${url}/workflow/dashboard/api/${address}`);
    expect([address, response.status]).toEqual([address, 200]);
    await response.arrayBuffer();
  }
  await app.close();
  expect((await rowsScanned()) - before).toBeLessThan(RUNS);
});
