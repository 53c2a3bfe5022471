import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, RunNotFoundError, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const next = defineSignal('next');

@Workflow({ name: 'period' })
class Period {
  async run(period: number, ctx: WorkflowContext): Promise<string> {
    await ctx.waitForSignal(next);
    return ctx.continueAsNew(Period, period + 1);
  }
}

const CALLS: Record<string, (client: WorkflowClient, id: string) => Promise<unknown>> = {
  status: (client, id) => client.status(id),
  describe: (client, id) => client.describe(id),
  steps: (client, id) => client.steps(id),
  history: (client, id) => client.history(id),
  result: (client, id) => client.getHandle(id).result({ timeout: seconds(45) }),
  signal: (client, id) => client.signal(id, next),
  cancel: (client, id) => client.cancel(id),
  pause: (client, id) => client.pause(id),
  resume: (client, id) => client.resume(id),
  terminate: (client, id) => client.terminate(id),
  retry: (client, id) => client.retry(id),
  fork: (client, id) => client.fork(id),
  resolveStep: (client, id) => client.resolveStep(id, 'charge', { output: 1 }),
};

describe('a chain of continued runs after a deletion by an operator', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Period]);
    for (const first of ['lost-end', 'lost-middle']) {
      await app.client.start(Period, 1, { id: first });
      for (const period of [2, 3]) {
        await app.client.signal(first, next);
        await waitFor(async () => (await app.client.describe(first)).input === period);
      }
    }
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const remove = async (id: string): Promise<void> => {
    for (const table of ['steps', 'waits', 'run_log', 'inbox'])
      await database.query(`DELETE FROM durable.workflow_${table} WHERE run_id = $1`, [id]);
    await database.query('DELETE FROM durable.workflow_runs WHERE id = $1', [id]);
  };

  describe('a chain without its last run', () => {
    let second: string;
    let last: string;
    beforeAll(async () => {
      last = (await app.client.describe('lost-end')).runId;
      second = (await app.client.describe(last)).continuedFrom!;
      await app.client.terminate(last);
      await remove(last);
    });

    it.each(Object.keys(CALLS))('makes %s refuse the ids of the remaining runs with an error that names the deleted run', async (call) => {
      for (const id of ['lost-end', second]) {
        const error = await CALLS[call]!(app.client, id).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(RunNotFoundError);
        expect(error).toMatchObject({ code: 'RUN_NOT_FOUND', missingRunId: last, message: expect.stringContaining(last) });
      }
    });

    it('keeps each remaining run readable by its own id when follow is false', async () => {
      const own = { follow: false } as const;
      expect(await app.client.status('lost-end', own)).toBe('continued');
      expect(await app.client.describe(second, own)).toMatchObject({ continuedAs: last });
      expect((await app.client.fork('lost-end', own)).created).toBe(true);
    });
  });

  it('a chain without its middle run still leads from the first id to the last run', async () => {
    const last = (await app.client.describe('lost-middle')).runId;
    const middle = (await app.client.describe(last)).continuedFrom!;
    await remove(middle);
    await app.client.pause('lost-middle');
    await waitFor(async () => (await app.client.status(last)) === 'paused');
    await app.client.resume('lost-middle');
    for (const call of Object.keys(CALLS)) await expect(CALLS[call]!(app.client, middle)).rejects.toBeInstanceOf(RunNotFoundError);
    await app.client.terminate('lost-middle');
    expect(await app.client.status(last)).toBe('cancelled');
  });
});
