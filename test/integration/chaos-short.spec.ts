import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { withDefaults } from '../chaos/arguments.js';
import { runChaos } from '../chaos/chaos.js';
import { describeReport, failedChecks } from '../chaos/report.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

let database: TestDatabase;
let limited: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  limited = await createTestDatabase();
});
afterAll(() => Promise.all([database.drop(), limited.drop()]));

// The long form: npm run test:chaos.
it('three workers and eighty runs survive eight seconds of faults', async () => {
  const seed = Number(process.env['FAULT_SEED'] ?? 259);
  const workerFile = join(process.env['DURABLE_TEST_COMPILED_DIR']!, 'test/chaos/worker.js');
  const report = await runChaos(withDefaults({ transport: 'poll', seed, runs: 80, workers: 3, seconds: 8 }), database, workerFile);
  if (failedChecks(report).length > 0) throw new Error(describeReport(report));
  expect(failedChecks(report)).toEqual([]);
  if (process.env['DURABLE_TEST_LOG']) console.log(describeReport(report));
});

// The long form: npm run test:chaos -- --workload limits.
it('three workers keep the limits of queues and steps during six seconds of faults, and lose no place', async () => {
  const seed = Number(process.env['FAULT_SEED'] ?? 31);
  const workerFile = join(process.env['DURABLE_TEST_COMPILED_DIR']!, 'test/chaos/worker.js');
  const settings = withDefaults({ transport: 'poll', seed, runs: 90, workers: 3, seconds: 6, workload: 'limits' });
  const report = await runChaos(settings, limited, workerFile);
  if (failedChecks(report).length > 0) throw new Error(describeReport(report));
  expect(failedChecks(report)).toEqual([]);
  if (process.env['DURABLE_TEST_LOG']) console.log(describeReport(report));
});
