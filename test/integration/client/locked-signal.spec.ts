import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';

import { defineSignal, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal<number>('go');

@Workflow({ name: 'waits' })
class Waits {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

it('a signal to a run whose row is locked reaches the run when the lock is released, without a sweep', async () => {
  const { client } = await startApplication(database.url, [Waits], { worker: { suspendAfter: 20 } });
  const handle = await client.start(Waits);
  await waitFor(async () => (await handle.status()) === 'waiting');
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT id FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [handle.runId]);
  const sent = handle.signal(go, 7);
  await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_inbox')).length === 1);
  // A sweep overlooks the message, so that only the notification can reach the run.
  await database.query(`UPDATE durable.workflow_inbox SET created_at = now() + interval '1 day'`);
  // The lock is held for longer than one statement waits for it.
  await new Promise((resolve) => setTimeout(resolve, 400));
  await holder.query('COMMIT');
  await holder.end();
  await sent;
  expect(await handle.result({ timeout: seconds(30) })).toBe(7);
});
