import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { WorkflowClient, WorldListOptions } from '../../../src/index.js';
import { Database } from '../../../src/store/database.js';
import { prepareWorldSchema } from '../../../src/store/world-schema.js';
import { FIND_LOST } from '../../../src/world/queue/recovery.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { explainAll, ExplainedStatements } from '../../support/explained-statements.js';

/** Number of runs of each status. */
const RUNS = 12_000;
/** From the oldest runs to the newest. */
const STATUSES = ['completed', 'failed', 'cancelled', 'running', 'pending'] as const;

describe(`a listing of a World beside ${STATUSES.length * RUNS} runs`, () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  let statements: ExplainedStatements;

  beforeAll(async () => {
    database = await createTestDatabase();
    const name = new URL(database.url).pathname.slice(1);
    for (const statement of explainAll(name)) await database.query(statement);
    statements = new ExplainedStatements();
    const world = new Database({ connectionString: database.url }, { schema: 'durable_world', poolSize: 1 });
    await prepareWorldSchema(world, 'migrate');
    await world.close();
    ({ client } = await startApplication(database.url, [], { worker: false }));
    await database.query(
      `INSERT INTO durable_world.world_runs (run_id, workflow_name, deployment_id, status, last_slot, last_at, created_at, updated_at, completed_at)
       SELECT 'wrun_' || lpad(n::text, 26, '0'), CASE WHEN n % ${RUNS} < 40 THEN 'rare' ELSE 'order' END, 'default', status, 1, now(), now(), now(),
         CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN now() END
       FROM (SELECT n, ($1::text[])[1 + n / ${RUNS}] AS status FROM generate_series(0, ${STATUSES.length * RUNS - 1}) n) AS run`,
      [STATUSES],
    );
    await database.query('VACUUM (ANALYZE) durable_world.world_runs');
  });

  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  /** Lists runs; returns the statuses that were found, and the number of rows that were read. */
  const list = async (options: WorldListOptions): Promise<{ found: string[]; rows: number; scanned: readonly string[] }> => {
    statements.take();
    const { runs } = await client.world.list(options);
    const [read] = statements.take().filter(({ text }) => text.includes('world_runs'));
    return { found: [...new Set(runs.map(({ status }) => status))], rows: read!.rows, scanned: read!.scanned };
  };

  it.each(STATUSES)('reads no other runs than those of status %s', async (status) => {
    expect(await list({ status })).toEqual({ found: [status], rows: 51, scanned: [] });
  });

  it.each(STATUSES)('reads few runs for a rare name and status %s', async (status) => {
    const { found, rows, scanned } = await list({ workflowName: 'rare', status });
    expect([found, scanned]).toEqual([[status], []]);
    expect(rows).toBeLessThanOrEqual(STATUSES.length * 40);
  });

  it('reads a page of active runs for the recovery through the index', async () => {
    const rows = await database.query<{ 'QUERY PLAN': string }>(`EXPLAIN (ANALYZE, TIMING OFF) ${FIND_LOST.text('durable_world', '')}`, [
      '',
      'default',
      0,
      100,
    ]);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).not.toMatch(/Seq Scan on world_runs|Sort  /);
    expect(plan).toMatch(/world_runs_pending_idx.*world_runs_running_idx/s);
  });
});
