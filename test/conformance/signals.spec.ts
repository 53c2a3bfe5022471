import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, RunEndedError, RunNotFoundError, Workflow, type WorkflowContext } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';

const approved = defineSignal<{ by: string }>('approved');
const ping = defineSignal('ping');

@Workflow({ name: 'waits' })
class Waits {
  async run(input: { timeout?: number; sleepFirst?: number; count?: number }, ctx: WorkflowContext): Promise<unknown[]> {
    if (input.sleepFirst !== undefined) await ctx.sleep(input.sleepFirst);
    const got: unknown[] = [];
    for (let index = 0; index < (input.count ?? 1); index++) {
      got.push(
        input.timeout === undefined ? await ctx.waitForSignal(approved) : await ctx.waitForSignal(approved, { timeout: input.timeout }),
      );
    }
    return got;
  }
}

@Workflow({ name: 'pinged' })
class Pinged {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return ctx.waitForSignal(ping);
  }
}

@Workflow({ name: 'child' })
class Child {
  async run(input: { n: number; fail?: boolean }, ctx: WorkflowContext): Promise<number> {
    const doubled = await ctx.step('double', () => input.n * 2);
    if (input.fail === true) throw new TypeError(`no ${input.n}`);
    return doubled;
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(input: { n: number; fail?: boolean }, ctx: WorkflowContext): Promise<number[] | string> {
    try {
      const one = await ctx.invoke(Child, input);
      const many = await ctx.invokeMany(Child, [{ n: 1 }, { n: 2 }, { n: 3 }], { maxInFlight: 2 });
      return [one, ...many];
    } catch (error) {
      return `${(error as Error).name}: ${((error as Error).cause as Error).message}`;
    }
  }
}

@Workflow({ name: 'counts' })
class Counts {
  async run(n: number, ctx: WorkflowContext): Promise<string> {
    ctx.setState('n', n);
    if (n < 3) return ctx.continueAsNew(Counts, n + 1);
    const got = await ctx.waitForSignal(approved);
    return `${n} ${got.by}`;
  }
}

@Workflow({ name: 'hooked' })
class Hooked {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook<number>();
    ctx.setState('token', hook.token);
    const got: number[] = [];
    for await (const value of hook) {
      got.push(value);
      if (got.length === 2) break;
    }
    return got;
  }
}

describe('signals', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Waits, Pinged, Child, Parent, Counts, Hooked], { worker: { parkAfter: 50 } });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it('reach a run that waits for them', async () => {
    const handle = await app.client.start(Waits, {});
    await handle.signal(approved, { by: 'ann' });
    expect(await handle.result()).toEqual([{ by: 'ann' }]);
  });

  it('reach a run that has been parked', async () => {
    const handle = await app.client.start(Waits, {});
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.signal(handle.runId, approved, { by: 'bob' });
    expect(await handle.result()).toEqual([{ by: 'bob' }]);
  });

  it('are kept until the run comes to them, in order, and counted once per idempotency key', async () => {
    const handle = await app.client.start(Waits, { sleepFirst: 150, count: 3 });
    await handle.signal(approved, { by: 'a' }, { idempotencyKey: 'k1' });
    await handle.signal(approved, { by: 'a again' }, { idempotencyKey: 'k1' });
    await handle.signal(approved, { by: 'b' });
    await handle.signal(approved, { by: 'c' });
    expect(await handle.result()).toEqual([{ by: 'a' }, { by: 'b' }, { by: 'c' }]);
  });

  it('that do not come in time leave null', async () => {
    expect(await app.client.execute(Waits, { timeout: 20 })).toEqual([null]);
  });

  it('that carry nothing are delivered as true', async () => {
    const handle = await app.client.start(Pinged);
    await handle.signal(ping);
    expect(await handle.result()).toBe(true);
  });

  it('to a run that has ended, or that nobody knows, are refused', async () => {
    const handle = await app.client.start(Waits, { timeout: 1 });
    await handle.result();
    await expect(handle.signal(approved, { by: 'late' })).rejects.toBeInstanceOf(RunEndedError);
    await expect(app.client.signal('nobody', approved, { by: 'x' })).rejects.toBeInstanceOf(RunNotFoundError);
  });

  it('children', async () => {
    expect(await app.client.execute(Parent, { n: 21 })).toEqual([42, 2, 4, 6]);
    expect(await app.client.execute(Parent, { n: 21, fail: true })).toBe('WorkflowFailedError: no 21');
  });

  it('continue as new', async () => {
    const handle = await app.client.start(Counts, 0);
    await handle.signal(approved, { by: 'zoe' });
    expect(await handle.result()).toBe('3 zoe');
  });

  it('hooks', async () => {
    const handle = await app.client.start(Hooked);
    const token = await waitFor(async () => {
      const rows = await database.query<{ token: string }>(`SELECT token FROM durable.workflow_hooks WHERE run_id = $1`, [handle.runId]);
      return rows[0]?.token;
    });
    await app.client.resumeHook(token, 7);
    await app.client.resumeHook(token, 8);
    expect(await handle.result()).toEqual([7, 8]);
  });
});
