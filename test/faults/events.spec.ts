import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import pg from 'pg';

import { Visitor, opened } from '../processes/event-worker.js';
import { closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned, spawnCompiled, type SpawnedProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

/** 10,000 in the long form of the faults. */
const RUNS = process.env['DURABLE_CHAOS'] ? 10_000 : 1_000;

describe('a fan-out of one event', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await killSpawned();
    await closeApplications();
  });
  afterAll(() => database.drop());

  const count = async (condition: string): Promise<number> =>
    (await database.query<{ n: number }>(`SELECT count(*)::int AS n FROM durable.${condition}`))[0]!.n;

  async function spawnWorker(): Promise<SpawnedProcess> {
    const worker = spawnCompiled('test/processes/event-worker.ts', { env: { EVENT_WORKER_URL: database.url } });
    await worker.waitForLine(/^ready/);
    return worker;
  }

  it('reaches every waiting run once when dispatchers are killed in the middle of it', async () => {
    const { client } = await startApplication(database.url, [], { worker: false });
    const first = await spawnWorker();
    const inputs = Array.from({ length: RUNS }, () => undefined);
    await client.startMany(Visitor, inputs);
    await waitFor(async () => (await count('workflow_waits WHERE event_armed')) === RUNS, { timeoutMs: 120_000 });
    // The lock of one run keeps the fan-out from its end.
    const lock = new pg.Client({ connectionString: database.url });
    await lock.connect();
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM durable.workflow_runs ORDER BY id DESC LIMIT 1 FOR UPDATE');
    await client.emit(opened, 7);
    await waitFor(async () => (await count('workflow_waits WHERE event_seq IS NULL')) < RUNS);
    first.kill('SIGKILL');
    await first.exited;
    await spawnWorker();
    await lock.query('ROLLBACK');
    await lock.end();
    await waitFor(async () => (await count("workflow_runs WHERE status = 'completed'")) === RUNS, { timeoutMs: 180_000 });
    expect(await count("workflow_runs WHERE output::text = '7'")).toBe(RUNS);
    expect(await count('workflow_event_receipts')).toBe(RUNS);
    await waitFor(async () => (await count('workflow_events WHERE dispatched_at IS NULL')) === 0);
    expect(await count('workflow_waits')).toBe(0);
  });
});
