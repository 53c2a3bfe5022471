import { expect, it } from '@jest/globals';

import { QStashEmulator } from '../../src/testing/index.js';
import { createTestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { runSuite } from './support/suite.js';

it('passes the twelve tests of @workflow/world-testing with QStash', async () => {
  const [database, qstash, port] = await Promise.all([createTestDatabase(), QStashEmulator.start(), freePort()]);
  // The tests run one after another, each with a server of its own on this port.
  const address = { PORT: String(port), QSTASH_TARGET_URL: `http://localhost:${port}` };
  const results = await runSuite({ DATABASE_URL: database.url, ...qstash.env(), ...address });
  await qstash.close();
  await database.drop();
  expect(results.filter(({ status }) => status !== 'passed')).toEqual([]);
  expect(results).toHaveLength(12);
});
