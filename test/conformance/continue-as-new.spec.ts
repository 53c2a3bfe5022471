import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Workflow, type StandardSchema, type WorkflowContext } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';

const work = defineSignal<number>('work');

const item = defineSignal<string>('item');

/** Takes one signal per run, and continues with all signals that it has taken. */
@Workflow({ name: 'collects one by one' })
class CollectsOneByOne {
  async run(got: string[], ctx: WorkflowContext): Promise<string[]> {
    if (got.length === 3) return got;
    const next = await ctx.waitForSignal(item);
    return ctx.continueAsNew(CollectsOneByOne, [...got, next]);
  }
}

/** Takes `batch` signals in each run, and ends after `total`. */
@Workflow({ name: 'looping' })
class Looping {
  async run(input: { batch: number; total: number; seen?: number[] }, ctx: WorkflowContext): Promise<number[]> {
    const seen = [...(input.seen ?? [])];
    for (let taken = 0; taken < input.batch; taken++) seen.push(await ctx.waitForSignal(work));
    if (seen.length >= input.total) return seen;
    return ctx.continueAsNew(Looping, { ...input, seen });
  }
}

@Workflow({ name: 'begins' })
class Begins {
  async run(fails: boolean, ctx: WorkflowContext): Promise<string> {
    await ctx.step('first', () => 'first');
    return ctx.continueAsNew(Ends, fails);
  }
}

@Workflow({ name: 'ends' })
class Ends {
  async run(fails: boolean, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(50);
    if (fails) throw new RangeError('at the end');
    return 'the end';
  }
}

@Workflow({ name: 'outer' })
class Outer {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return `child: ${await ctx.invoke(Begins, false)}`;
  }
}

/** Takes hook payloads, one in each run, under one token. */
@Workflow({ name: 'hooked loop' })
class HookedLoop {
  async run(input: { token: string; seen: unknown[] }, ctx: WorkflowContext): Promise<unknown[]> {
    if (input.seen.length === 3) return input.seen;
    const hook = await ctx.hook<number>({ token: input.token });
    const got = await hook.wait({ timeout: '20s' });
    return ctx.continueAsNew(HookedLoop, { ...input, seen: [...input.seen, got] });
  }
}

const slowlyChecked: StandardSchema<string> = {
  '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value: (await sleep(300), value as string) }) },
};

@Workflow({ name: 'slowly checked', input: slowlyChecked })
class SlowlyChecked {
  async run(input: string): Promise<string> {
    return input;
  }
}

/** Continues as new beside a wait that is still open. */
@Workflow({ name: 'impatient' })
class Impatient {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await Promise.race([ctx.sleep('1 day'), ctx.step('quick', () => 'done')]);
    return ctx.continueAsNew(SlowlyChecked, 'continued');
  }
}

/** Continues as new without end. */
@Workflow({ name: 'endless' })
class Endless {
  async run(n: number, ctx: WorkflowContext): Promise<never> {
    await ctx.sleep(5);
    return ctx.continueAsNew(Endless, n + 1);
  }
}

@Workflow({ name: 'parent of endless' })
class ParentOfEndless {
  async run(id: string, ctx: WorkflowContext): Promise<string> {
    await ctx.invoke(Endless, 0, { id });
    return 'never';
  }
}

@Workflow({ name: 'losing branch' })
class LosingBranch {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.race({
      loser: async () => {
        await ctx.sleep('1h').catch(() => undefined);
        return ctx.continueAsNew(Begins, false);
      },
      winner: () => ctx.sleep(10),
    });
    return ctx.step('after', () => 'after the race');
  }
}

/** A chain's last run. */
async function lastOf(app: TestApplication, runId: string): Promise<string> {
  for (let id = runId; ;) {
    const { continuedAs } = await app.client.describe(id, { follow: false });
    if (continuedAs === undefined) return id;
    id = continuedAs;
  }
}

describe('a run that is continued as new', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(
      database.url,
      [Looping, Begins, Ends, Outer, CollectsOneByOne, HookedLoop, Endless, ParentOfEndless, LosingBranch, SlowlyChecked, Impatient],
      {
        worker: { suspendAfter: 30, queues: ['default', 'other'] },
      },
    );
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it('moves every signal that no run has taken, and signals for the first run reach the last', async () => {
    const total = 60;
    const handle = await app.client.start(Looping, { batch: 3, total });
    for (let n = 0; n < total; n++) await app.client.signal(handle.runId, work, n);
    expect((await handle.result({ timeout: seconds(45) })).toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, n) => n));
    const { continuedAs } = await handle.describe({ follow: false });
    await expect(app.client.describe(continuedAs!, { follow: false })).resolves.toMatchObject({ continuedFrom: handle.runId });
  });

  it('does not move the signal that it takes in the flush of its end', async () => {
    const handle = await app.client.start(CollectsOneByOne, []);
    for (const name of ['a', 'b', 'c']) await handle.signal(item, name);
    expect(await handle.result({ timeout: seconds(45) })).toEqual(['a', 'b', 'c']);
  });

  it('is continued although the check of the input takes longer than suspendAfter, beside another wait', async () => {
    const handle = await app.client.start(Impatient);
    expect(await handle.result({ timeout: seconds(30) })).toBe('continued');
  });

  it('keeps the order of its waiting signals', async () => {
    const handle = await app.client.start(Looping, { batch: 2, total: 8 }, { delay: 30 });
    for (let n = 0; n < 8; n++) await handle.signal(work, n);
    expect(await handle.result()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('returns the result, or throws the error, of the run that continues it', async () => {
    expect(await app.client.execute(Begins, false)).toBe('the end');
    await expect(app.client.execute(Begins, true)).rejects.toMatchObject({ name: 'WorkflowFailedError', cause: { message: 'at the end' } });
  });

  it('is cancelled by the id of its first run', async () => {
    const handle = await app.client.start(Endless, 0);
    await waitFor(async () => (await handle.describe({ follow: false })).continuedAs);
    await handle.cancel({ reason: 'enough' });
    await expect(handle.result({ timeout: seconds(30) })).rejects.toThrow('enough');
  });

  it('is cancelled with its parent', async () => {
    const handle = await app.client.start(ParentOfEndless, 'endless child');
    await waitFor(async () => (await app.client.describe('endless child', { follow: false })).continuedAs);
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ name: 'WorkflowCancelledError' });
    await waitFor(async () => (await app.client.status(await lastOf(app, 'endless child'))) === 'cancelled');
  });

  it('is cancelled by a bulk operation that counted an earlier run of the chain', async () => {
    const tags = { loop: 'endless' };
    const handles = await app.client.startMany(Endless, [1, 2, 3], { tags });
    const { token } = await app.client.bulk.cancel({ filter: { tags }, dryRun: true });
    await waitFor(async () =>
      (await Promise.all(handles.map((each) => each.describe({ follow: false })))).every((each) => each.continuedAs),
    );
    await app.client.bulk.cancel({ token });
    for (const handle of handles)
      await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ name: 'WorkflowCancelledError' });
  });

  it('is paused when the last run of its chain is paused', async () => {
    const handle = await app.client.start(Endless, 0);
    await waitFor(async () => {
      await app.client.pause(await lastOf(app, handle.runId)).catch(() => undefined);
      return (await app.client.status(await lastOf(app, handle.runId))) === 'paused';
    });
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ name: 'WorkflowCancelledError' });
  });

  it('takes a signal with one idempotency key once, even across a continuation', async () => {
    const handle = await app.client.start(CollectsOneByOne, []);
    await handle.signal(item, 'pay', { idempotencyKey: 'req-1' });
    await waitFor(async () => (await handle.describe({ follow: false })).continuedAs);
    await handle.signal(item, 'pay', { idempotencyKey: 'req-1' });
    for (const name of ['b', 'c']) await handle.signal(item, name);
    expect(await handle.result({ timeout: seconds(45) })).toEqual(['pay', 'b', 'c']);
  });

  it('moves the payloads of its hook', async () => {
    const token = 'the token of a loop';
    const handle = await app.client.start(HookedLoop, { token, seen: [] });
    await waitFor(async () => (await handle.steps()).length === 1);
    for (const n of [1, 2, 3]) await app.client.resumeHook(token, n);
    expect(await handle.result({ timeout: seconds(45) })).toEqual([1, 2, 3]);
    await expect(app.client.resumeHook(token, 4)).rejects.toMatchObject({ name: 'RunEndedError' });
  });

  it('is not created by a branch that has lost its race', async () => {
    await expect(app.client.execute(LosingBranch)).resolves.toBe('after the race');
  });

  it('keeps its tags, its priority and its queue', async () => {
    const handle = await app.client.start(CollectsOneByOne, [], { tags: { customer: '7' }, priority: 3, queue: 'other' });
    await handle.signal(item, 'a');
    const successor = await waitFor(async () => (await handle.describe({ follow: false })).continuedAs);
    expect(await app.client.describe(successor)).toMatchObject({ tags: { customer: '7' }, priority: 3, queue: 'other' });
    for (const name of ['b', 'c']) await handle.signal(item, name);
    expect(await handle.result({ timeout: seconds(45) })).toEqual(['a', 'b', 'c']);
  });

  it('has a history of its own in each run of the chain', async () => {
    const handle = await app.client.start(Begins, false);
    await handle.result();
    const { continuedAs } = await handle.describe({ follow: false });
    expect((await handle.steps({ follow: false })).map(({ stepKey }) => stepKey)).toEqual(['first']);
    expect((await app.client.steps(continuedAs!)).map(({ stepKey }) => stepKey)).toEqual(['sleep']);
  });

  it('is a child whose parent waits for the run that continues it', async () => {
    expect(await app.client.execute(Outer)).toBe('child: the end');
  });

  it('receives signals that came after its continuation through the sweep', async () => {
    const handle = await app.client.start(Looping, { batch: 1, total: 2 });
    await handle.signal(work, 1);
    const successor = await waitFor(async () => (await handle.describe({ follow: false })).continuedAs);
    await waitFor(async () => (await app.client.status(successor)) === 'waiting');
    // The state after a sender that read the run before it was continued, and died before it
    // notified the run.
    await database.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload, created_at) VALUES ($1, 'signal', 'work', '2', now() - interval '1 minute')`,
      [handle.runId],
    );
    expect(await handle.result({ timeout: seconds(15) })).toEqual([1, 2]);
  });
});
