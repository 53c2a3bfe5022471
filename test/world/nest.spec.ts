import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { QStashEmulator } from '../../src/testing/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/free-port.js';
import { killSpawned } from '../support/processes.js';
import { KitApplication } from './support/kit-application.js';

describe('an application with WorldModule and the module of @workflow/nest', () => {
  let database: TestDatabase;
  let qstash: QStashEmulator | undefined;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterEach(async () => {
    await killSpawned();
    await qstash?.close();
  });

  afterAll(() => database.drop());

  it('executes runs, and ends at a signal', async () => {
    const application = await KitApplication.start('beta7', database.url, {}, 'nest.mjs');
    const runId = await application.run('addThree', 4);
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 7 });
    application.process.kill('SIGTERM');
    expect(await application.process.exited).toMatchObject({ code: 0 });
  });

  it('executes runs below a global prefix, with the poller and with QStash', async () => {
    const polling = await KitApplication.start('beta7', database.url, { PREFIX: 'api' }, 'nest.mjs');
    expect(await polling.below('/api').ended(await polling.below('/api').run('parallel', 3))).toEqual({ status: 'completed', output: 6 });
    qstash = await QStashEmulator.start();
    const port = await freePort();
    const env = { PREFIX: 'api', PORT: String(port), QSTASH_TARGET_URL: `http://localhost:${port}`, ...qstash.env() };
    const pushed = (await KitApplication.start('beta7', database.url, { ...env, DEPLOYMENT_ID: 'pushed' }, 'nest.mjs')).below('/api');
    expect(await pushed.ended(await pushed.run('parallel', 3))).toEqual({ status: 'completed', output: 6 });
  });
});
