import { afterEach, expect, it } from '@jest/globals';

import { WorkflowConfigurationError } from '../../src/index.js';
import { closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase } from '../support/database.js';

afterEach(closeApplications);

it('refuses to boot on a database that cannot hold every text, and leaves nothing in it', async () => {
  const database = await createTestDatabase('LATIN1');

  const error = await startApplication(database.url, []).catch((thrown: unknown) => thrown);

  expect(error).toBeInstanceOf(WorkflowConfigurationError);
  expect(String(error)).toMatch(/needs a database whose encoding is UTF8; "durable_test_\w+" has LATIN1/);
  expect(await database.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'durable'`)).toEqual([]);
  await closeApplications();
  await database.drop();
});
