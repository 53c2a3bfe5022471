import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { WorkflowClient } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

/**
 * No process has a worker, so no sweep admits runs. Only the call that takes the place of a run can
 * admit the next run.
 */
describe('the place of a run that a client ends or pauses', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [], { worker: false }));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const placeOf = async (runId: string): Promise<string> =>
    (await database.query('SELECT place FROM durable.workflow_runs WHERE id = $1', [runId]))[0]!['place'] as string;
  const hasPlace = (runId: string): Promise<boolean> =>
    waitFor(async () => (await placeOf(runId)) === 'admitted', { message: `a place for ${runId}` });

  it.each(['cancel', 'pause', 'terminate'] as const)('goes to the next run after %s', async (change) => {
    const queue = `of-${change}`;
    await client.queues.configure(queue, { concurrency: 1 });
    const [first, next, last] = ['first', 'next', 'last'].map((each) => `${change}-${each}`) as [string, string, string];
    for (const id of [first, next, last]) {
      await client.start('work', undefined, { id, queue });
      if (id === first) await hasPlace(first);
    }
    await client[change](first);
    await hasPlace(next);
    expect(await placeOf(first)).toBe('outside');
    expect(await placeOf(last)).toBe('queued');
  });

  it('goes to the next run with the same key', async () => {
    await client.queues.configure('keyed', { key: { concurrency: 1 } });
    const start = (id: string, queueKey: string) => client.start('work', undefined, { id, queue: 'keyed', queueKey });
    await start('a-1', 'a');
    await start('b-1', 'b');
    await Promise.all([hasPlace('a-1'), hasPlace('b-1')]);
    await start('a-2', 'a');
    await start('b-2', 'b');
    await client.terminate('a-1');
    await hasPlace('a-2');
    expect(await placeOf('b-2')).toBe('queued');
  });

  it('is wanted at once by a run that is retried', async () => {
    await client.queues.configure('of-retry', { concurrency: 1 });
    await client.start('work', undefined, { id: 'retried', queue: 'of-retry' });
    await hasPlace('retried');
    await database.query(
      `UPDATE durable.workflow_runs SET status = 'failed', started_at = now(), finished_at = now(), ready_at = NULL, error_code = 'Error',
        error = '{"name":"Error","message":"in vain"}' WHERE id = 'retried'`,
    );
    expect(await placeOf('retried')).toBe('outside');
    await client.retry('retried');
    await hasPlace('retried');
  });
});
