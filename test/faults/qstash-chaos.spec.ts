import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { withDefaults } from '../chaos/arguments.js';
import { runQStashChaos } from '../chaos/qstash/chaos.js';
import { describeReport, failedChecks } from '../chaos/report.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

let database: TestDatabase;
let limited: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  limited = await createTestDatabase();
});
afterAll(() => Promise.all([database.drop(), limited.drop()]));

// The long form: npm run test:chaos -- --transport qstash.
it('all runs end correctly with a QStash that loses, duplicates and reorders messages, and processes that crash', async () => {
  const seed = Number(process.env['FAULT_SEED'] ?? 11);
  const file = join(process.env['DURABLE_TEST_COMPILED_DIR']!, 'test/chaos/qstash/application.js');
  const report = await runQStashChaos(withDefaults({ transport: 'qstash', seed, runs: 40, workers: 2, seconds: 3 }), database, file);
  if (failedChecks(report).length > 0) throw new Error(describeReport(report));
  expect(failedChecks(report)).toEqual([]);
  if (process.env['DURABLE_TEST_LOG']) console.log(describeReport(report));
});

// The long form: npm run test:chaos -- --transport both --workload limits.
it('limits of queues and steps hold with such a QStash beside the poller, and no place is lost', async () => {
  const seed = Number(process.env['FAULT_SEED'] ?? 12);
  const file = join(process.env['DURABLE_TEST_COMPILED_DIR']!, 'test/chaos/qstash/application.js');
  const settings = withDefaults({ transport: 'both', seed, runs: 40, workers: 2, seconds: 3, workload: 'limits' });
  const report = await runQStashChaos(settings, limited, file);
  if (failedChecks(report).length > 0) throw new Error(describeReport(report));
  expect(failedChecks(report)).toEqual([]);
  if (process.env['DURABLE_TEST_LOG']) console.log(describeReport(report));
});
