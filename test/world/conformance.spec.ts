import { expect, it } from '@jest/globals';

import { createTestDatabase } from '../support/database.js';
import { runSuite } from './support/suite.js';

it('passes the twelve tests of @workflow/world-testing with the poller', async () => {
  const database = await createTestDatabase();
  const results = await runSuite({ DATABASE_URL: database.url });
  await database.drop();
  expect(results.filter(({ status }) => status !== 'passed')).toEqual([]);
  expect(results).toHaveLength(12);
});
