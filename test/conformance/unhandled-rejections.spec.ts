import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned, spawnCompiled } from '../support/processes.js';

describe('a promise that a workflow awaits too late', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => killSpawned());
  afterAll(() => database.drop());

  const run = async (...args: string[]) => {
    const child = spawnCompiled('test/processes/rejections-worker.ts', { env: { DATABASE_URL: database.url }, args });
    const { code } = await child.exited;
    return { code, lines: child.stdoutLines };
  };

  it('does not end the process when the run is cancelled or the branch loses', async () => {
    expect(await run()).toEqual({ code: 0, lines: ['cancelled', 'cancelled', 'winner', 'winner', 'listeners: 0'] });
  });

  it('ends the process when its rejection is not one of the module', async () => {
    expect(await run('foreign')).toEqual({ code: 1, lines: ['cancelled', 'cancelled', 'winner', 'winner'] });
  });
});
