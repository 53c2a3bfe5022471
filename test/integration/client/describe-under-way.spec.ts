import { hostname } from 'node:os';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PATIENCE, waitFor } from '../../support/wait.js';

let finish: (() => void) | undefined;

@Workflow({ name: 'hanging' })
class HangingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    let attempts = 0;
    await ctx.step('hang', { retry: { initialInterval: 10 } }, () => {
      if (++attempts === 1) throw new Error('the first attempt fails');
      return new Promise<void>((resolve) => (finish = resolve));
    });
    await ctx.sleep('1 day');
  }
}

@Workflow({ name: 'short' })
class ShortWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('short', () => undefined);
  }
}

describe('a running step body', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    finish?.();
    await closeApplications();
  });
  afterAll(() => database.drop());

  it('is shown by describe in another process until the body ends', async () => {
    await startApplication(database.url, [HangingWorkflow, ShortWorkflow], { worker: { suspendAfter: '1m' } });
    const asking = await startApplication(database.url, [], { worker: false });
    const { runId } = await asking.client.start('hanging');
    const underWay = async () => (await asking.client.describe(runId)).underWay;
    const startedAt = Date.now();
    const [body] = await waitFor(async () => {
      const bodies = await underWay();
      return bodies.length > 0 ? bodies : undefined;
    });
    expect(body).toEqual({ stepKey: 'hang', attempt: 2, since: expect.any(Date), host: hostname(), pid: process.pid });
    const expected = `for step "hang", which has been running since ${body!.since.toISOString()} (attempt 2, host "${hostname()}", process ${process.pid})`;
    const { waitingFor } = await asking.client.describe(runId);
    expect(waitingFor).toEqual([{ kind: 'step', name: 'hang', since: body!.since, until: undefined, text: expected }]);
    expect(Math.abs(body!.since.getTime() - startedAt)).toBeLessThan(10_000 * PATIENCE);
    finish!();
    await waitFor(async () => (await underWay()).length === 0);
    await waitFor(async () => (await asking.client.describe(runId)).waitingFor[0]?.kind === 'sleep');
  });

  it('causes no statement of its own when it is short', async () => {
    const { client } = await startApplication(database.url, [ShortWorkflow]);
    const { query } = pg.Client.prototype;
    let shown = 0;
    pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
      if ((args[0] as { name?: string } | undefined)?.name === 'durable_show_bodies') shown++;
      return (query as unknown as (...given: unknown[]) => unknown).apply(this, args);
    } as typeof query;
    try {
      for (const until = performance.now() + 2_500; performance.now() < until;) await client.execute(ShortWorkflow);
    } finally {
      pg.Client.prototype.query = query;
    }
    expect(shown).toBe(0);
  });
});
