import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';

import { NonDeterminismError } from '../../src/core/errors/index.js';
import { Step } from '../../src/nest/decorators/decorators.js';
import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { execute, TestRun, type Ending, type RunOptions, type WorkflowFunction } from './harness.js';
import { delay, settle, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/** Records with one workflow until a number of results is durable, then continues with another. */
async function change(
  before: WorkflowFunction,
  recorded: number,
  after: WorkflowFunction,
  options?: RunOptions,
): Promise<{ run: TestRun; ending: Ending }> {
  const { run } = await execute(before, options);
  const history = { steps: run.stored.history.steps.slice(0, recorded), waits: [] };
  return execute(after, { ...options, history });
}

const step = (ctx: WorkflowContext, name: string): Promise<string> => ctx.step(name, () => name);

const inOrder =
  (...names: string[]): WorkflowFunction =>
  async (ctx) => {
    for (const name of names) await (name === 'sleep' ? ctx.sleep(10) : step(ctx, name));
  };

describe('code that does not match its history', () => {
  const cases: [string, WorkflowFunction, number, WorkflowFunction, string][] = [
    ['a step was renamed', inOrder('a', 'b', 'c'), 2, inOrder('a', 'bb', 'c'), 'b'],
    ['the first step was renamed', inOrder('a', 'b'), 1, inOrder('aa', 'b'), 'a'],
    ['a step was inserted', inOrder('a', 'b', 'c'), 2, inOrder('a', 'x', 'b', 'c'), 'b'],
    ['a step was inserted at the start', inOrder('a', 'b'), 1, inOrder('x', 'a', 'b'), 'a'],
    ['a step was removed', inOrder('a', 'b', 'c'), 3, inOrder('a', 'c'), 'c'],
    ['the last step was removed', inOrder('a', 'b', 'c'), 3, inOrder('a', 'b'), 'c'],
    ['steps were reordered', inOrder('a', 'b', 'c'), 3, inOrder('a', 'c', 'b'), 'c'],
    ['the first steps were reordered', inOrder('a', 'b'), 2, inOrder('b', 'a'), 'b'],
    ['a sleep became a step', inOrder('a', 'sleep', 'b'), 2, async (ctx) => (await step(ctx, 'a'), await step(ctx, 'sleep')), 'sleep'],
    ['a sleep was removed', inOrder('a', 'sleep', 'b'), 3, inOrder('a', 'b'), 'b'],
    [
      'a step that came first now comes together with another',
      inOrder('a', 'b', 'c'),
      2,
      (ctx) => Promise.all([step(ctx, 'a'), step(ctx, 'b')]),
      'b',
    ],
    [
      'steps that came together now come one after the other',
      (ctx) => Promise.all([step(ctx, 'a'), step(ctx, 'b')]),
      2,
      inOrder('a', 'b'),
      'b',
    ],
    ['run() ends at once', inOrder('a', 'b'), 1, () => 'early', 'a'],
    ['run() throws before a recorded step', inOrder('a', 'b', 'c'), 2, async (ctx) => step(ctx, 'a').then(() => JSON.parse('no')), 'b'],
    [
      'a branch on something that is not recorded',
      inOrder('a', 'b', 'c'),
      2,
      async (ctx) => (await step(ctx, 'a'), Date.now() > 0 ? await step(ctx, 'other') : await step(ctx, 'b')),
      'b',
    ],
  ];

  it.each(cases)('blocks the run and names the step, before any body is executed: %s', async (_, before, recorded, after, place) => {
    const { run, ending } = await change(before, recorded, after);
    expect(ending.status).toBe('blocked');
    const error = (ending as Extract<Ending, { status: 'blocked' }>).error as NonDeterminismError;
    expect(error).toBeInstanceOf(NonDeterminismError);
    expect(error.stepKey).toBe(place);
    expect(error.message).toContain('run-1');
    expect(run.effects).toEqual([]);
    expect(run.journal.flushes).toEqual([]);
  });

  it('may differ after the recorded part', async () => {
    const { run, ending } = await change(inOrder('a', 'b'), 1, inOrder('a', 'x', 'sleep', 'y'));
    expect(ending.status).toBe('completed');
    expect(run.keys).toEqual(['a', 'x', 'sleep', 'y']);
  });

  it('has no effect after the run was blocked', async () => {
    const { run: recorded } = await execute(inOrder('a', 'b'));
    let caught = false;
    const run = new TestRun(
      async (ctx) => {
        try {
          await step(ctx, 'other');
        } catch {
          caught = true;
        } finally {
          await step(ctx, 'finally');
        }
      },
      { history: recorded.stored.history },
    );
    await run.end();
    await settle();
    expect([caught, run.effects, run.journal.flushes]).toEqual([false, [], []]);
  });

  class Payments {
    constructor(private readonly amount: number) {}
    @Step()
    async charge(order: { amount: number }): Promise<number> {
      return order.amount;
    }
    async run(): Promise<number> {
      return this.charge({ amount: this.amount });
    }
  }

  it('is detected by changed arguments, not by a changed body', async () => {
    const pay =
      (amount: number): WorkflowFunction =>
      () =>
        new Payments(amount).run();
    const { ending } = await change(pay(1), 1, pay(2));
    expect(ending).toMatchObject({
      status: 'blocked',
      error: { stepKey: 'Payments.charge', message: expect.stringContaining('arguments') },
    });
    expect((await change(pay(1), 1, pay(1))).ending).toEqual({ status: 'completed', output: 1 });
    expect((await change(inOrder('a'), 1, (ctx) => ctx.step('a', () => 'new'))).ending).toMatchObject({ output: 'a' });
  });
});

describe('ordinary I/O between steps', () => {
  const slow = () => delay(50);
  const fast = () => new Promise((resolve) => setImmediate(resolve));
  const none = () => undefined;

  const withIo =
    (io: () => unknown): WorkflowFunction =>
    async (ctx) => {
      const seen = [await step(ctx, 'a')];
      await io();
      seen.push(await step(ctx, 'b'));
      await io();
      seen.push(await step(ctx, 'a'));
      await io();
      return seen;
    };

  it.each([
    ['slow, then fast', slow, fast],
    ['fast, then slow', fast, slow],
    ['slow, then cached', slow, none],
    ['cached, then slow', none, slow],
  ])('may take another time on replay: %s', async (_, live, replayed) => {
    for (const recorded of [1, 2, 3]) {
      const { run, ending } = await change(withIo(live), recorded, withIo(replayed));
      expect(ending).toEqual({ status: 'completed', output: ['a', 'b', 'a'] });
      expect(run.keys).toEqual(['a', 'b', 'a#2']);
    }
  });

  it('is a mismatch when the call after it is not made on replay, and no body is executed before', async () => {
    const { run, ending } = await change(withIo(slow), 2, async (ctx) => {
      await step(ctx, 'a');
      await slow();
      await step(ctx, 'renamed');
    });
    expect(ending).toMatchObject({ status: 'blocked', error: { stepKey: 'b' } });
    expect(run.effects).toEqual([]);
  });

  it('may let run() end during replay before everything recorded has been delivered', async () => {
    const racing =
      (io: () => unknown): WorkflowFunction =>
      async (ctx) => {
        await Promise.race([step(ctx, 'a'), ctx.step('b', () => delay(5)).then(() => step(ctx, 'c'))]);
        await io();
        return 1;
      };
    const { run, ending } = await change(racing(slow), 3, racing(fast));
    expect(run.keys).toEqual(['a', 'b', 'c']);
    expect(ending).toEqual({ status: 'completed', output: 1 });
  });

  it('never swaps the results of two branches that call a step of the same name', async () => {
    const branches =
      (io: () => unknown): WorkflowFunction =>
      async (ctx) => {
        const a = async (): Promise<string> => {
          await ctx.step('first', () => delay(10));
          return ctx.step('x', () => 'A');
        };
        const b = async (): Promise<string> => {
          await io();
          return ctx.step('x', () => 'B');
        };
        return Promise.all([a(), b()]);
      };
    const { ending } = await change(branches(slow), 3, branches(fast));
    if (ending.status === 'blocked') expect((ending.error as NonDeterminismError).stepKey).toMatch(/^x/);
    else expect(ending).toMatchObject({ output: ['A', 'B'] });
  });

  it('is allowed in branches that call steps of the same name with keys', async () => {
    const branches =
      (io: () => unknown): WorkflowFunction =>
      (ctx) =>
        Promise.all(
          ['A', 'B', 'C'].map(async (name, index) => {
            if (index > 0) await io();
            await ctx.step('first', { key: name }, () => delay(10 * index));
            return ctx.step('x', { key: name }, () => name);
          }),
        );
    for (const [live, replayed] of [
      [slow, fast],
      [fast, slow],
    ] as const) {
      for (let recorded = 1; recorded <= 6; recorded++) {
        expect((await change(branches(live), recorded, branches(replayed))).ending).toEqual({
          status: 'completed',
          output: ['A', 'B', 'C'],
        });
      }
    }
  });

  it('is no mismatch when it takes long again while another branch has more to do', async () => {
    const workflow: WorkflowFunction = (ctx) =>
      Promise.all([
        (async () => {
          await Promise.all([delay(3_000), ctx.step('long', () => delay(5_000))]);
          return ctx.step('b', () => 'b');
        })(),
        ctx.sleep('1h').then(() => 'slept'),
      ]);
    const { run, ending } = await execute(workflow, { crashes: (count) => count === 3 });
    expect(run.passes).toBeGreaterThan(1);
    expect(ending).toEqual({ status: 'completed', output: ['b', 'slept'] });
  });

  it('is waited for as long as the settings say', async () => {
    const { run } = await execute(withIo(slow));
    const begun = Date.now();
    const stuck = new TestRun(
      withIo(() => new Promise(() => undefined)),
      { history: run.stored.history, settings: { replayStallMs: 1_234 } },
    );
    await until(() => stuck.ending !== undefined);
    expect(Date.now() - begun).toBe(1_234);
  });
});
