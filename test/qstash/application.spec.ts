import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

const go = defineSignal<number>('go');

@Workflow({ name: 'eight steps' })
class EightSteps {
  async run(ms: number, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let n = 1; n <= 4; n++) sum += await ctx.step('add', () => n);
    await ctx.sleep(ms);
    for (let n = 5; n <= 8; n++) sum += await ctx.step('add', () => n);
    return sum;
  }
}

@Workflow({ name: 'waits' })
class Waits {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'child' })
class Child {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('double', () => n * 2);
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(n: number, ctx: WorkflowContext): Promise<number[]> {
    return ctx.invokeMany(
      Child,
      Array.from({ length: n }, (_, index) => index),
      { maxInFlight: 3 },
    );
  }
}

describe('an application that QStash drives', () => {
  let database: TestDatabase;
  let pushed: PushedApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    pushed = await startPushed(database.url, [EightSteps, Waits, Child, Parent]);
  });
  afterEach(() => pushed.qstash.clear());
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const sessions = () => database.query('SELECT id FROM durable.workflow_sessions');

  it('executes a run with a sleep in two messages, and leaves nothing between them', async () => {
    const handle = await pushed.client.start(EightSteps, 1_500);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await waitFor(async () => (await sessions()).length === 0);
    expect(await handle.result({ timeout: '20s' })).toBe(36);
    expect(pushed.qstash.stats().published).toBe(2);
    await waitFor(async () => (await sessions()).length === 0);
  });

  it('goes on with a signal', async () => {
    const handle = await pushed.client.start(Waits);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.signal(go, 7);
    expect(await handle.result({ timeout: '20s' })).toBe(7);
  });

  it('executes children', async () => {
    expect(await (await pushed.client.start(Parent, 5)).result({ timeout: '20s' })).toEqual([0, 2, 4, 6, 8]);
  });
});
