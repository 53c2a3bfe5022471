import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, InvalidInputError, Workflow, WorkflowTimeoutError, type WorkflowContext } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

const never = defineSignal('never');

interface Slow {
  /** Sleeps while it cleans up. */
  tidyMs?: number;
  /** Ends as if nothing had happened. */
  swallow?: boolean;
}

@Workflow({ name: 'slow', timeout: '10 minutes' })
class SlowWorkflow {
  async run({ tidyMs, swallow }: Slow, ctx: WorkflowContext): Promise<string> {
    try {
      await ctx.waitForSignal(never);
    } catch (error) {
      if (tidyMs !== undefined) await ctx.sleep(tidyMs);
      await ctx.step('tidy', () => (error as Error).name);
      if (swallow !== true) throw error;
    }
    return 'ended all the same';
  }
}

@Workflow({ name: 'short', timeout: 150 })
class ShortWorkflow extends SlowWorkflow {}

@Workflow({ name: 'plain' })
class PlainWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(never);
  }
}

@Workflow({ name: 'invoking' })
class InvokingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown[]> {
    try {
      return [await ctx.invoke(ShortWorkflow, {})];
    } catch (error) {
      return [(error as Error).name, ((error as Error).cause as Error).name];
    }
  }
}

describe('the timeout of a run', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const providers = [SlowWorkflow, ShortWorkflow, PlainWorkflow, InvokingWorkflow];
    app = await startApplication(database.url, providers, { worker: { suspendAfter: 20 }, defaults: { runTimeout: '1 hour' } });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const isTimeout = { name: 'WorkflowFailedError', cause: { name: 'WorkflowTimeoutError', code: 'WORKFLOW_TIMEOUT' } };
  const secondsFromStart = async (id: string): Promise<number> => {
    const { deadline, createdAt } = await app.client.describe(id);
    return Math.round((deadline!.getTime() - createdAt.getTime()) / 1_000);
  };

  it('fails a waiting run, whose catch block may still run steps', async () => {
    const handle = await app.client.start(SlowWorkflow, {}, { timeout: 100 });
    await expect(handle.result()).rejects.toMatchObject(isTimeout);
    const { status, error } = await handle.describe();
    expect({ status, isTimeout: error instanceof WorkflowTimeoutError }).toEqual({ status: 'failed', isTimeout: true });
    expect(await handle.steps()).toMatchObject([{ kind: 'cancel' }, { stepKey: 'tidy', output: 'WorkflowTimeoutError' }]);
    expect(await app.client.count({ errorCode: 'WORKFLOW_TIMEOUT', name: 'slow' })).toBe(1);
  });

  it('leaves cleanup code that sleeps its grace, even across a suspension', async () => {
    const handle = await app.client.start(SlowWorkflow, { tidyMs: 2_000 }, { timeout: 60 });
    await expect(handle.result()).rejects.toMatchObject(isTimeout);
    expect((await handle.steps()).map(({ stepKey }) => stepKey)).toEqual(['$cancel', 'sleep', 'tidy']);
    expect((await handle.describe()).epoch).toBeGreaterThan(1);
  });

  it('fails the run even when its code swallows the error', async () => {
    const handle = await app.client.start(SlowWorkflow, { swallow: true }, { timeout: 30 });
    await expect(handle.result()).rejects.toMatchObject(isTimeout);
  });

  it('comes from the start, else from the workflow, else from the module', async () => {
    await app.client.start(SlowWorkflow, {}, { id: 'given', timeout: '5s' });
    await app.client.start(SlowWorkflow, {}, { id: 'of the workflow' });
    await app.client.start(PlainWorkflow, undefined, { id: 'of the module' });
    expect(await secondsFromStart('given')).toBe(5);
    expect(await secondsFromStart('of the workflow')).toBe(600);
    expect(await secondsFromStart('of the module')).toBe(3_600);
    expect(
      (await (await app.client.start(ShortWorkflow, {})).result().catch((error: Error) => error.cause)) instanceof WorkflowTimeoutError,
    ).toBe(true);
  });

  it('counts from the time at which the run is first due', async () => {
    await app.client.start(SlowWorkflow, {}, { id: 'later', delay: '1 hour', timeout: '1 minute' });
    expect(await secondsFromStart('later')).toBe(3_660);
    const startAt = new Date(Date.now() + 7_200_000);
    await app.client.start(SlowWorkflow, {}, { id: 'at', startAt, timeout: '1 minute' });
    expect((await app.client.describe('at')).deadline).toEqual(new Date(startAt.getTime() + 60_000));
  });

  it('may be a Date', async () => {
    const timeout = new Date(Date.now() + 90_000);
    await app.client.start(SlowWorkflow, {}, { id: 'until', timeout });
    const { deadline } = await app.client.describe('until');
    expect(Math.abs(deadline!.getTime() - timeout.getTime())).toBeLessThan(1_000 * PATIENCE);
  });

  it('comes from the class that executes the run when the run is started by name', async () => {
    const handle = await app.client.start('short', {});
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject(isTimeout);
    await app.client.start('plain', undefined, { id: 'plain by name' });
    await waitFor(async () => (await app.client.describe('plain by name')).startedAt);
    expect(await secondsFromStart('plain by name')).toBe(3_600);
  });

  it('reaches the parent as the cause when a child exceeds its own', async () => {
    expect(await app.client.execute(InvokingWorkflow)).toEqual(['WorkflowFailedError', 'WorkflowTimeoutError']);
  });

  it.each([-1, 'soon', null, Number.NaN, new Date(Number.NaN)])('is refused when it is %p, and no run is started', async (timeout) => {
    const started = app.client.start(SlowWorkflow, {}, { id: 'refused', timeout: timeout as number });
    await expect(started).rejects.toBeInstanceOf(InvalidInputError);
    await expect(started).rejects.toMatchObject({ argument: 'options.timeout' });
    expect(await database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = 'refused'`)).toEqual([]);
  });
});
