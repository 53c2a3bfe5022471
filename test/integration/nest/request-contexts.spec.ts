import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

@Workflow({ name: 'sleeping' })
class SleepingWorkflow {
  async run(ms: number, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(ms);
    return ctx.step('over', () => 'over');
  }
}

describe('the context of a request', () => {
  const requests = new AsyncLocalStorage<object>();
  const { query } = pg.Client.prototype;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    pg.Client.prototype.query = query;
    await closeApplications();
  });
  afterAll(() => database.drop());

  it.each([
    ['with notices', true],
    ['by polling alone', false],
  ])('does not reach queries of the module and is garbage-collected, %s', async (_, listen) => {
    const { client } = await startApplication(database.url, [SleepingWorkflow], { listen, worker: { suspendAfter: 50 } });
    let queries = 0;
    let queriesInside = 0;
    pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
      queries++;
      if (requests.getStore()) queriesInside++;
      return (query as unknown as (...given: unknown[]) => unknown).apply(this, args);
    } as typeof query;

    const request = async (): Promise<WeakRef<object>> => {
      const store = { user: 'somebody' };
      const result = await requests.run(store, async () => {
        await client.count({});
        const handle = await client.start(SleepingWorkflow, 100);
        return handle.result();
      });
      expect(result).toBe('over');
      return new WeakRef(store);
    };
    const waiting = requests.run({}, () => client.execute(SleepingWorkflow, 3_000).then(() => undefined));
    const first = await request();
    const before = queries;
    await waitFor(() => queries > before + 5);
    expect(queriesInside).toBe(0);
    await waitFor(
      async () => {
        await sleep(20);
        collectGarbage();
        return first.deref() === undefined;
      },
      { message: "the first request's store to be collected" },
    );
    await waiting;
  });
});
