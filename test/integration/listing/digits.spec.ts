import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { Workflow, type WorkflowClient } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'one' })
class OneWorkflow {
  async run(): Promise<void> {}
}

let database: TestDatabase;
let client: WorkflowClient;
beforeAll(async () => {
  database = await createTestDatabase();
  const [row] = await database.query('SELECT current_database() AS name');
  await database.query(`ALTER DATABASE "${(row as { name: string }).name}" SET extra_float_digits = 0`);
  ({ client } = await startApplication(database.url, [OneWorkflow], { worker: false }));
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

it('a paged listing shows every run once when the database prints floats with fewer digits', async () => {
  const started = await client.startMany(
    OneWorkflow,
    Array.from({ length: 50 }, () => undefined),
  );
  await database.query("UPDATE durable.workflow_runs SET created_at = timestamptz '2030-01-01' + random() * 20 * interval '1 microsecond'");
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.list({ limit: 7, cursor });
    seen.push(...page.runs.map(({ runId }) => runId));
    cursor = page.cursor;
  } while (cursor !== undefined && seen.length <= started.length);
  expect(seen.toSorted()).toEqual(started.map(({ runId }) => runId).toSorted());
});
