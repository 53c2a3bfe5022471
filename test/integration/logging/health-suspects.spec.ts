import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { Workflow } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'suspicious' })
class Suspicious {
  run(): Promise<number> {
    return Promise.resolve(1);
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

it('health counts due runs that two or more workers lost as suspects, and not as backlog', async () => {
  const { client } = await startApplication(database.url, [Suspicious], { worker: false });
  expect(await client.health()).toMatchObject({ suspects: [], queues: [] });
  for (const id of ['never lost', 'lost twice', 'lost often']) await client.start(Suspicious, undefined, { id });
  await database.query(
    `UPDATE durable.workflow_runs SET worker_losses = CASE id WHEN 'lost twice' THEN 2 ELSE 4 END WHERE id LIKE 'lost%'`,
  );
  const { suspects, backlog } = await client.health();
  expect(suspects).toEqual([{ queue: 'default', name: 'suspicious', version: 1, suspects: 2, mostLosses: 4, exampleRunId: 'lost often' }]);
  expect(backlog).toMatchObject([{ name: 'suspicious', due: 1 }]);
});
