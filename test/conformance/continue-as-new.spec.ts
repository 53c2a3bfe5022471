import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Workflow, type WorkflowContext } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

const item = defineSignal<string>('item');

/** Takes one signal per run, and continues with what it has. */
@Workflow({ name: 'collects one by one' })
class CollectsOneByOne {
  async run(got: string[], ctx: WorkflowContext): Promise<string[]> {
    if (got.length === 3) return got;
    const next = await ctx.waitForSignal(item);
    return ctx.continueAsNew(CollectsOneByOne, [...got, next]);
  }
}

describe('a run that continues as new', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [CollectsOneByOne]);
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it('takes along the signals that nobody took, and none that was taken by the very flush that ends it', async () => {
    const handle = await app.client.start(CollectsOneByOne, []);
    for (const name of ['a', 'b', 'c']) await handle.signal(item, name);
    expect(await handle.result({ timeout: '20s' })).toEqual(['a', 'b', 'c']);
  });
});
