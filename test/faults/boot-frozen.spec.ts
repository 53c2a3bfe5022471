import { afterAll, describe, expect, it } from '@jest/globals';

import { DatabaseUnavailableError } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase } from '../support/database.js';
import { bootAt } from '../support/faults/booting.js';
import { FaultProxy } from '../support/faults/proxy.js';

describe('a server that stops answering in the middle of a boot', () => {
  afterAll(closeApplications);

  it.concurrent.each([
    ['while TypeORM connects', 'SELECT version()'],
    ['while the module looks for migrations', 'n.nspname = $1'],
    ['during a migration', 'CREATE TABLE'],
    ['while the worker starts', 'durable_open_session'],
  ])('%s ends the boot with DatabaseUnavailableError', async (_, statement) => {
    const database = await createTestDatabase();
    const proxy = await FaultProxy.start(database.url);
    try {
      const silent = proxy.silenceAt(statement);
      const { outcome } = bootAt(proxy.url, 1_000);
      await silent;
      expect(await outcome).toBeInstanceOf(DatabaseUnavailableError);
    } finally {
      await proxy.stop();
      await database.drop();
    }
  });
});
