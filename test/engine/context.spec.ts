import { describe, expect, it } from '@jest/globals';

import { execute, TestRun, type WorkflowFunction } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/**
 * Executes a workflow without a crash, with one after each transition, and as a replay. Returns the
 * output of each.
 */
async function everywhere(workflow: WorkflowFunction): Promise<unknown[]> {
  const { run, ending } = await execute(workflow);
  const endings = [ending, (await execute(workflow, { history: run.stored.history })).ending];
  const total = run.journal.flushes.flat().length;
  for (let crash = 1; crash < total; crash++) endings.push((await execute(workflow, { crashes: (count) => count === crash })).ending);
  return endings;
}

describe('the workflow context', () => {
  it('ctx.now is the time of the last recorded result, the same in every pass', async () => {
    const begun = Date.now();
    const { run, ending } = await execute(async (ctx) => {
      const times = [ctx.now().getTime() - begun];
      await ctx.step('a', () => delay(70));
      times.push(ctx.now().getTime() - begun);
      await ctx.sleep('1s');
      return [...times, ctx.now().getTime() - begun];
    });
    expect(ending).toMatchObject({ output: [0, 70, 1_070] });
    expect(run.passes).toBe(1);
  });

  it('ctx.now is the same in a pass that begins much later', async () => {
    const run = new TestRun(async (ctx) => {
      const times = [ctx.now()];
      await ctx.step('a', () => delay(70));
      times.push(ctx.now());
      await ctx.step('b', () => delay(10));
      return times;
    });
    const begun = Date.now();
    await until(() => run.keys.length === 1);
    run.letGo();
    setTimeout(() => run.begin(), 86_400_000);
    expect(await run.end()).toMatchObject({ output: [new Date(begun), new Date(begun + 70)] });
  });

  it('ctx.random and ctx.uuid are the same in every pass', async () => {
    const endings = await everywhere(async (ctx) => {
      const values: unknown[] = [ctx.random(), ctx.uuid()];
      await ctx.step('a', () => delay(1));
      await Promise.all(['b', 'c'].map((name) => ctx.step(name, () => delay(2)).then(() => values.push(ctx.random()))));
      values.push(ctx.uuid());
      await ctx.sleep(10);
      return [...values, ctx.random()];
    });
    for (const ending of endings) expect(ending).toEqual(endings[0]);
    const [{ output }] = endings as [{ output: (string | number)[] }];
    expect(new Set(output).size).toBe(output.length);
    expect(output[1]).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    for (const value of output) if (typeof value === 'number') expect(value >= 0 && value < 1).toBe(true);
  });

  it('ctx.uuid differs between runs', async () => {
    const ids = await Promise.all(['x', 'y'].map((id) => execute((ctx) => ctx.uuid(), { id })));
    expect(ids[0]!.ending).not.toEqual(ids[1]!.ending);
  });

  it('ctx.random and ctx.uuid inside a step do not shift the later values of the workflow', async () => {
    const endings = await everywhere(async (ctx) => {
      await ctx.step('a', () => [ctx.uuid(), ctx.random()]);
      const id = ctx.uuid();
      await ctx.step('b', () => ctx.random());
      return [id, ctx.uuid(), ctx.random()];
    });
    for (const ending of endings) expect(ending).toEqual(endings[0]);
  });

  it('ctx.now after a cancellation is the same in every pass, although the clock counts fractions', async () => {
    const times: number[] = [];
    const run = new TestRun(
      async (ctx) => {
        await ctx.sleep('1h').catch(() => undefined);
        times.push(ctx.now().getTime());
        await ctx.step('a', () => delay(1));
      },
      { settings: { now: () => Date.now() + 0.7 } },
    );
    await until(() => run.stored.waits.size > 0);
    run.cancel();
    await run.end();
    // The database stores microseconds, and returns whole milliseconds.
    const steps = run.stored.history.steps.map((step) => ({ ...step, finishedAt: Math.round(step.finishedAt) }));
    await execute(run.workflow, { history: { steps, waits: [] } });
    expect(times[0]).toBe(times[1]);
  });

  it('can be logged without the engine in the output', async () => {
    const { ending } = await execute((ctx) => Object.keys(ctx), { bare: true });
    expect(ending).toMatchObject({ output: expect.not.arrayContaining(['pass']) });
  });

  it('ctx.abortSignal is aborted when the run has ended', async () => {
    let signal: AbortSignal | undefined;
    await execute((ctx) => {
      signal = ctx.abortSignal;
      expect(ctx.abortSignal.aborted).toBe(false);
    });
    expect(signal!.aborted).toBe(true);
  });
});
