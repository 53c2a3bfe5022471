import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, InvalidInputError, RunEndedError, Workflow, type WorkflowContext } from '../../../src/index.js';
import { startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal<'continue' | 'end' | 'fail'>('go');

/** A workflow of which each run takes one signal, which says how the run ends. */
@Workflow({ name: 'subscription' })
class Subscription {
  async run(period: number, ctx: WorkflowContext): Promise<string> {
    ctx.setState('period', period);
    await ctx.step(`open ${period}`, () => period);
    const how = await ctx.waitForSignal(go);
    if (how === 'continue') return ctx.continueAsNew(Subscription, period + 1);
    if (how === 'fail') throw new Error(`period ${period}`);
    return `ended in period ${period}`;
  }
}

describe('a chain of continued runs', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Subscription], { worker: { suspendAfter: 0 } });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const inPeriod = (id: string, period: number): Promise<unknown> =>
    waitFor(async () => {
      // The run's status becomes "waiting" later than the record of its wait.
      const { state, status, waits } = await app.client.describe(id);
      return state['period'] === period && status === 'waiting' && waits.length > 0;
    });
  /** Starts a chain and leaves it waiting in its third run. Returns the id of that run. */
  const start = async (id: string): Promise<string> => {
    await app.client.start(Subscription, 1, { id, tags: { chain: id } });
    for (const period of [1, 2]) {
      await inPeriod(id, period);
      await app.client.signal(id, go, 'continue');
    }
    await inPeriod(id, 3);
    return (await app.client.describe(id)).runId;
  };

  it('status, describe, steps and history of the first id read the current run', async () => {
    const current = await start('looked at');
    expect(current).not.toBe('looked at');
    const handle = app.client.getHandle('looked at');
    await waitFor(async () => (await handle.status()) === 'waiting');
    expect(await app.client.status('looked at')).toBe('waiting');
    expect(await handle.describe()).toMatchObject({ runId: current, status: 'waiting', input: 3, state: { period: 3 } });
    expect((await handle.steps()).map(({ stepKey }) => stepKey)).toEqual(['open 3']);
    const { entries } = await handle.history();
    expect(entries.map(({ stepKey }) => stepKey)).toContain('open 3');
    expect(entries.map(({ stepKey }) => stepKey)).not.toContain('open 1');
  });

  it('the first id reads the first run itself, with status "continued", when follow is false', async () => {
    const current = await start('itself');
    const handle = app.client.getHandle('itself');
    const own = { follow: false } as const;
    expect(await handle.status(own)).toBe('continued');
    expect(await app.client.status('itself', own)).toBe('continued');
    const described = await handle.describe(own);
    expect(described).toMatchObject({ runId: 'itself', status: 'continued', input: 1, waits: [] });
    expect(await handle.describe({ follow: true })).toMatchObject({ runId: current });
    expect((await handle.steps(own)).map(({ stepKey }) => stepKey)).toContain('open 1');
    const { entries } = await handle.history(own);
    expect(entries.at(-1)).toMatchObject({ kind: 'continued_as_new', name: described.continuedAs });
    await expect(handle.result(own)).resolves.toBeUndefined();
    expect(await app.client.status(current, own)).toBe('waiting');
  });

  it('pause, resume, signal, retry, resolveStep and cancel of the first id act on the current run', async () => {
    const current = await start('done to');
    const { client } = app;
    await client.pause('done to');
    await waitFor(async () => (await client.status(current)) === 'paused');
    await client.resume('done to');
    await waitFor(async () => (await client.status(current)) === 'waiting');
    await client.signal('done to', go, 'fail');
    await expect(client.getHandle('done to').result({ timeout: seconds(45) })).rejects.toMatchObject({ cause: { message: 'period 3' } });
    await client.retry('done to');
    // The retry takes the same signal again, so the run fails once more.
    await waitFor(async () => {
      const { generation, status } = await client.describe('done to');
      return generation === 1 && status === 'failed';
    });
    await client.resolveStep('done to', 'signal:go', { output: 'end' });
    await expect(client.getHandle('done to').result({ timeout: seconds(45) })).resolves.toBe('ended in period 3');
    expect(await client.status(current)).toBe('completed');
    await expect(client.pause('done to')).rejects.toThrow(RunEndedError);
    await start('cancelled');
    await client.cancel('cancelled');
    await expect(client.getHandle('cancelled').result({ timeout: seconds(45) })).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED' });
    expect(await client.status('cancelled')).toBe('cancelled');
  });

  it('fork of the first id copies the current run, or the first run when follow is false', async () => {
    await start('forked');
    const later = await app.client.fork('forked', { fromStep: 'open 3' });
    expect((await later.describe()).input).toBe(3);
    const first = await app.client.fork('forked', { follow: false });
    expect((await first.describe()).input).toBe(1);
    for (const { runId } of [later, first]) await app.client.cancel(runId);
  });

  it('a start with the first id creates no run and returns a handle on the current run', async () => {
    await start('started again');
    const handle = await app.client.start(Subscription, 9, { id: 'started again' });
    expect(handle.created).toBe(false);
    expect(await handle.status()).toBe('waiting');
    await app.client.signal('started again', go, 'end');
    await expect(handle.result({ timeout: seconds(45) })).resolves.toBe('ended in period 3');
    expect(await handle.status()).toBe('completed');
  });

  it('list and count show the last run as completed and the earlier runs as continued', async () => {
    await start('listed');
    await app.client.signal('listed', go, 'end');
    await app.client.getHandle('listed').result({ timeout: seconds(45) });
    const tags = { chain: 'listed' };
    const statuses = async (status?: 'continued' | 'completed'): Promise<string[]> =>
      (await app.client.list({ tags, status })).runs.map((run) => run.status);
    expect(await statuses()).toEqual(['completed', 'continued', 'continued']);
    expect(await statuses('continued')).toEqual(['continued', 'continued']);
    expect(await statuses('completed')).toEqual(['completed']);
    expect(await app.client.count({ tags, status: 'continued' })).toBe(2);
    expect(await app.client.count({ tags, status: ['continued', 'completed'] })).toBe(3);
    expect(await app.client.count({ tags, status: ['continued', 'failed'] })).toBe(2);
    const [last] = (await app.client.list({ tags, status: 'continued' })).runs;
    expect(last!.continuedAs).toBe((await app.client.describe('listed')).runId);
  });

  it('a history cursor reads the first run to its end after that run has continued, and refuses other runs', async () => {
    const { client } = app;
    await client.start(Subscription, 1, { id: 'paged' });
    await inPeriod('paged', 1);
    const first = await client.history('paged', { limit: 1 });
    await client.signal('paged', go, 'continue');
    await inPeriod('paged', 2);
    const rest = await client.history('paged', { cursor: first.cursor! });
    expect(rest.entries.at(-1)).toMatchObject({ kind: 'continued_as_new' });
    await client.start(Subscription, 1, { id: 'stranger' });
    await expect(client.history('stranger', { cursor: first.cursor! })).rejects.toThrow(InvalidInputError);
  });

  it('status and result refuse a follow option that is not a boolean', async () => {
    await expect(app.client.status('x', { follow: 'no' as never })).rejects.toThrow('options.follow');
    await expect(app.client.getHandle('x').result({ follow: 1 as never })).rejects.toThrow('options.follow');
  });

  it('result of the first id does not look up each run of a chain of 2,000 runs', async () => {
    const length = 2_000;
    await database.query(`INSERT INTO durable.workflow_runs
      (id, name, version, queue, status, created_at, finished_at, start_nonce, chain_nonce, continued_as, continued_from, input, output)
      SELECT 'long-' || n, 'subscription', 1, 'default', 'completed', now(), now(), 5000000 + n, CASE WHEN n > 1 THEN 5000001 END,
        CASE WHEN n < ${length} THEN 'long-' || (n + 1) END, CASE WHEN n > 1 THEN 'long-' || (n - 1) END, '1', CASE WHEN n = ${length} THEN '"the end"'::json END
      FROM generate_series(1, ${length}) AS n`);
    const calls = async (): Promise<number> => {
      const [row] = await database.query<{ scans: string }>(
        `SELECT idx_scan AS scans FROM pg_stat_user_indexes WHERE indexrelname = 'workflow_runs_pkey' AND schemaname = 'durable'`,
      );
      return Number(row!.scans);
    };
    const before = await calls();
    await expect(app.client.getHandle('long-1').result({ timeout: seconds(45) })).resolves.toBe('the end');
    expect((await calls()) - before).toBeLessThan(length / 2);
  });
});
