import { describe, expect, it } from '@jest/globals';

import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { currentStep } from '../../src/engine/current.js';
import { execute, TestRun, type WorkflowFunction } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

const once = { retry: { maxAttempts: 1 } };

/** Steps that take a number of milliseconds, or fail after them. */
function steps(ctx: WorkflowContext): {
  ok: (name: string, ms: number) => Promise<string>;
  bad: (name: string, ms: number) => Promise<string>;
} {
  return {
    ok: (name, ms) => ctx.step(name, () => delay(ms).then(() => name)),
    bad: (name, ms) => ctx.step(name, once, () => delay(ms).then(() => Promise.reject(new Error(name)))),
  };
}

const cases: [string, (ctx: WorkflowContext) => unknown, unknown][] = [
  ['Promise.race takes the first', (ctx) => Promise.race([steps(ctx).ok('slow', 20), steps(ctx).ok('fast', 10)]), 'fast'],
  [
    'Promise.race takes the first failure',
    (ctx) => Promise.race([steps(ctx).ok('slow', 20), steps(ctx).bad('fast', 10)]).catch(message),
    /"fast" failed/,
  ],
  ['a race against a sleep', (ctx) => Promise.race([steps(ctx).ok('slow', 2_000), ctx.sleep('1s').then(() => 'late')]), 'late'],
  [
    'Promise.any takes the first success',
    (ctx) => Promise.any([steps(ctx).bad('fast', 1), steps(ctx).ok('slow', 20), steps(ctx).ok('slower', 30)]),
    'slow',
  ],
  [
    'Promise.any of failures only',
    (ctx) => Promise.any([steps(ctx).bad('a', 2), steps(ctx).bad('b', 1)]).catch((error: AggregateError) => error.errors.map(message)),
    [/"a"/, /"b"/],
  ],
  [
    'Promise.allSettled keeps places',
    async (ctx) => (await Promise.allSettled([steps(ctx).bad('a', 20), steps(ctx).ok('b', 10)])).map((each) => each.status),
    ['rejected', 'fulfilled'],
  ],
  [
    'Promise.all keeps places',
    (ctx) => Promise.all([steps(ctx).ok('a', 20), steps(ctx).ok('b', 10), Promise.resolve('c')]),
    ['a', 'b', 'c'],
  ],
  [
    'Promise.all rejects at the first failure',
    (ctx) => Promise.all([steps(ctx).ok('a', 20), steps(ctx).bad('b', 10)]).catch(message),
    /"b"/,
  ],
  [
    'catch and finally',
    async (ctx) => {
      const order: string[] = [];
      try {
        order.push(await steps(ctx).ok('a', 1));
        await steps(ctx).bad('b', 1);
        order.push('not reached');
      } catch (error) {
        order.push(`caught ${(error as Error).cause instanceof Error}`, await steps(ctx).ok('c', 1));
      } finally {
        order.push(await steps(ctx).ok('d', 1));
      }
      return order;
    },
    ['a', 'caught true', 'c', 'd'],
  ],
  ['an error that is thrown in finally wins', (ctx) => first(ctx).catch(message), 'second'],
];

async function first(ctx: WorkflowContext): Promise<void> {
  try {
    await steps(ctx).bad('a', 1);
  } finally {
    await steps(ctx).ok('b', 1);
    // oxlint-disable-next-line no-unsafe-finally -- what is tested
    throw new Error('second');
  }
}

function message(error: unknown): string {
  return (error as Error).message;
}

describe('promises of a workflow', () => {
  it.each(cases)('behave as in plain JavaScript: %s', async (_, workflow, expected) => {
    const matcher = (each: unknown): unknown => (each instanceof RegExp ? expect.stringMatching(each) : each);
    const wanted = { status: 'completed', output: Array.isArray(expected) ? expected.map(matcher) : matcher(expected) };
    const { run, ending } = await execute(workflow);
    expect(ending).toEqual(wanted);
    const total = run.journal.flushes.flat().length;
    for (let count = 1; count < total; count++) {
      const crashed = await execute(workflow, { crashes: (written) => written === count });
      expect(crashed.ending).toEqual(wanted);
    }
  });

  it('keep a loser of Promise.race running until the run ends, and it may be awaited later', async () => {
    const { run, ending } = await execute(async (ctx) => {
      const slow = steps(ctx).ok('slow', 20);
      const winner = await Promise.race([slow, steps(ctx).ok('fast', 10)]);
      return [winner, await slow];
    });
    expect(ending).toMatchObject({ output: ['fast', 'slow'] });
    expect(run.keys).toEqual(['fast', 'slow']);
  });

  it('settle one at a time, in the order in which results were recorded', async () => {
    const orders: string[][] = [];
    const workflow: WorkflowFunction = async (ctx) => {
      const order: string[] = [];
      orders.push(order);
      const branch = async (name: string): Promise<void> => {
        await ctx.step(name, () => undefined);
        order.push(`${name} 1`);
        // No other result enters while a branch continues in microtasks.
        for (let turns = 0; turns < 20; turns++) await Promise.resolve();
        order.push(`${name} 2`);
      };
      await Promise.all(['a', 'b', 'c'].map(branch));
      await ctx.step('end', () => undefined);
    };
    const { run } = await execute(workflow);
    await execute(workflow, { history: run.stored.history });
    const recorded = run.keys.filter((key) => key !== 'end').flatMap((key) => [`${key} 1`, `${key} 2`]);
    expect(orders).toEqual([recorded, recorded]);
  });

  it('settle in the recorded order when results arrive together, even if steps were called in another order', async () => {
    const workflow: WorkflowFunction = async (ctx) => {
      const order: string[] = [];
      await Promise.all(['a', 'b', 'c'].map((name, index) => ctx.step(name, () => delay(30 - index * 10)).then(() => order.push(name))));
      return order;
    };
    const { run, ending } = await execute(workflow);
    expect(ending).toMatchObject({ output: ['c', 'b', 'a'] });
    const again = await execute(workflow, { history: run.stored.history });
    expect(again.ending).toEqual(ending);
  });

  it('let a hundred parallel steps begin before one has ended', async () => {
    const run: TestRun = new TestRun((ctx) =>
      Promise.all(Array.from({ length: 100 }, (_, index) => ctx.step(`s${index}`, () => delay(5).then(() => run.effects.length)))),
    );
    await run.end();
    expect(new Set(run.stored.history.steps.map((step) => step.output))).toEqual(new Set(['100']));
    expect(run.passes).toBe(1);
  });
});

// Jest fails a test in which a rejection is not handled.
describe('a step that no code awaits', () => {
  it('causes no unhandled rejection when it fails', async () => {
    const workflow: WorkflowFunction = async (ctx) => {
      void ctx.step('lost', once, () => Promise.reject(new Error('lost')));
      await ctx.step('b', () => delay(10));
      return 'fine';
    };
    const { run, ending } = await execute(workflow, { bare: true });
    expect(ending).toMatchObject({ output: 'fine' });
    expect(run.stored.history.steps[0]).toMatchObject({ stepKey: 'lost', status: 'failed' });
    const again = await execute(workflow, { bare: true, history: run.stored.history });
    expect(again.ending).toEqual(ending);
  });

  it('causes no unhandled rejection when its arguments are refused', async () => {
    const workflow: WorkflowFunction = async (ctx) => {
      void ctx.step('', () => 1);
      void ctx.sleep(-1);
      await ctx.step('outer', () => {
        void ctx.step('inner', () => 1);
      });
    };
    const { ending } = await execute(workflow, { bare: true });
    expect(ending.status).toBe('completed');
  });

  it('is aborted when the run ends, and its result is dropped', async () => {
    const signals: AbortSignal[] = [];
    let ended = false;
    const { run } = await execute(async (ctx) => {
      void ctx.step('lost', async () => {
        signals.push(currentStep().abortSignal);
        await delay(100);
        ended = true;
      });
      await ctx.step('a', () => delay(10));
    });
    expect(signals[0]!.aborted).toBe(true);
    expect(signals[0]!.reason).toMatchObject({ name: 'RunEndedError' });
    await until(() => ended, 'the body to end');
    expect(run.keys).toEqual(['a']);
    run.check();
  });
});
