import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, NonRetryableError, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const NAMES = ['PO#12', '$10', '50%25', 'two\nlines'];
const log: string[] = [];
let isBroken = true;

@Workflow({ name: 'orders' })
class Orders {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    for (const key of NAMES) {
      await ctx.step('charge', { key }, () => void log.push(key));
      await ctx.step(key, () => void log.push(key));
    }
    await ctx.step('ship', { key: 'PO#12' }, () => {
      if (isBroken) throw new NonRetryableError('no truck');
    });
  }
}

@Workflow({ name: 'stuck' })
class Stuck {
  async run(when: 'now' | 'later', ctx: WorkflowContext): Promise<string> {
    if (when === 'later') await ctx.sleep('1 hour');
    return ctx.step('charge', { key: 'PO#12', retry: { maxAttempts: 100, initialInterval: '1 hour', maxInterval: '1 hour' } }, () => {
      throw new Error('not yet');
    });
  }
}

describe('a step whose name or key is escaped in its step key', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [Orders, Stuck], { worker: { suspendAfter: 0 } }));
    await expect(client.execute(Orders, undefined, { id: 'order' })).rejects.toThrow();
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('is accepted by client.fork as client.steps shows it', async () => {
    for (const { stepKey } of await client.steps('order')) {
      const { runId } = await client.fork('order', { fromStep: stepKey });
      await client.terminate(runId).catch(() => undefined);
    }
  });

  it.each(NAMES.flatMap((key) => [key, `charge:${key}`]))('is accepted by client.fork as the application wrote it: %j', async (written) => {
    const { runId } = await client.fork('order', { fromStep: written });
    await client.terminate(runId).catch(() => undefined);
    const [event] = await database.query<{ step_key: string }>(
      `SELECT step_key FROM durable.workflow_run_log WHERE run_id = $1 AND kind = 'forked'`,
      [runId],
    );
    expect((await client.steps('order')).map(({ stepKey }) => stepKey)).toContain(event!.step_key);
  });

  it('is refused when the run does not have it, and the error names step keys of the run', async () => {
    const error: unknown = await client.fork('order', { fromStep: 'charge:PO#13' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as Error).message).toContain('"charge:PO%2312"');
    await expect(client.retry('order', { fromStep: 'charge:PO#13' })).rejects.toThrow('"charge:PO%2312"');
    await expect(client.resolveStep('order', 'charge:PO#13', { output: 1 })).rejects.toThrow('"charge:PO%2312"');
    for (const bad of ['', 7, null, 'x'.repeat(801)]) {
      await expect(client.fork('order', { fromStep: bad as never })).rejects.toMatchObject({ argument: 'options.fromStep' });
    }
    await expect(client.resolveStep('order', '$cancel', { output: 1 })).rejects.toMatchObject({ argument: 'stepKey' });
  });

  it('is retried and resolved in a failed run in the form that the application wrote', async () => {
    isBroken = false;
    await client.retry('order', { fromStep: 'charge:PO#12' });
    await client.getHandle('order').result({ timeout: seconds(45) });
    isBroken = true;
    await expect(client.execute(Orders, undefined, { id: 'resolved' })).rejects.toThrow();
    await client.resolveStep('resolved', 'ship:PO#12', { output: 'by hand' });
    await client.getHandle('resolved').result({ timeout: seconds(45) });
    expect((await client.steps('resolved')).at(-1)).toMatchObject({ stepKey: 'ship:PO%2312', output: 'by hand' });
  });

  it.each(['charge:PO#12', 'charge:PO%2312'])('is resolved while it waits for its next attempt: %s', async (key) => {
    const { runId } = await client.start(Stuck, 'now');
    await waitFor(async () => (await client.describe(runId)).waits.length > 0);
    await client.resolveStep(runId, key, { output: 'by hand' });
    expect(await client.getHandle(Stuck, runId).result({ timeout: seconds(45) })).toBe('by hand');
  });

  it('is resolved before its call in the form that the application wrote', async () => {
    const { runId } = await client.start(Stuck, 'later');
    await waitFor(async () => (await client.describe(runId)).waits.length > 0);
    await client.resolveStep(runId, 'charge:PO#12', { output: 'by hand' });
    await client.resolveStep(runId, 'sleep', { output: null });
    expect(await client.getHandle(Stuck, runId).result({ timeout: seconds(45) })).toBe('by hand');
  });
});
