import 'reflect-metadata';
import { afterEach, describe, expect, it } from '@jest/globals';

import { ArgumentChangedError, StepFailedError } from '../../src/core/errors/index.js';
import { Step } from '../../src/nest/decorators/decorators.js';
import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { execute, TestRun, type RunOptions, type WorkflowFunction } from './harness.js';
import { delay, useVirtualTime } from './virtual-time.js';

useVirtualTime();

class Order {
  id: number | undefined;
  readonly items: string[] = [];
}

let seen: unknown[] = [];
let failures = 0;
afterEach(() => {
  seen = [];
  failures = 0;
});

class Steps {
  @Step()
  async create(order: { id?: number | undefined }): Promise<void> {
    order.id = 7;
  }
  @Step({ retry: { initialInterval: 10 } })
  async push(list: string[], item: string): Promise<number> {
    seen.push([...list]);
    list.push(item);
    if (failures-- > 0) throw new Error('again');
    return list.length;
  }
  @Step()
  async look(...values: unknown[]): Promise<void> {
    await delay(10);
    seen.push(structuredClone(values));
  }
  @Step()
  async same(value: object, expected: object): Promise<boolean> {
    return value === expected;
  }
  @Step()
  async keep(value: { n: number }): Promise<{ n: number }> {
    setTimeout(() => void (value.n = 99), 5);
    return value;
  }
}
const steps = new Steps();

/**
 * Executes the workflow in one pass, and again with a crash after each transition and a suspension
 * at each wait. All executions must end the same.
 */
async function everywhere(workflow: WorkflowFunction, options: RunOptions = {}): Promise<unknown> {
  const calm = await execute(workflow, { self: steps, ...options });
  const total = calm.run.journal.flushes.flat().length;
  for (let point = 1; point < total; point++) {
    failures = 0;
    const { ending } = await execute(workflow, { self: steps, ...options, crashes: (count) => count === point });
    expect(ending).toEqual(calm.ending);
  }
  expect((await execute(workflow, { self: steps, ...options, suspends: true })).ending).toEqual(calm.ending);
  expect(calm.run.warnings.length).toBeLessThanOrEqual(1);
  return calm.ending.status === 'completed' ? calm.ending.output : calm.ending.error;
}

describe('arguments of a step', () => {
  it('are copies: run does not see changes by the body, live or in a replay', async () => {
    const output = await everywhere(async (ctx) => {
      const order: { id?: number } = {};
      await steps.create(order);
      await ctx.sleep(1_000);
      await steps.look(order.id);
      return { id: order.id };
    });
    expect(output).toEqual({ id: undefined });
  });

  it('have the values of the call in each attempt', async () => {
    failures = 2;
    const { ending } = await execute(
      async () => {
        const list = ['a'];
        const pushed = steps.push(list, 'b');
        list.push('of run');
        return { pushed: await pushed, list };
      },
      { self: steps },
    );
    expect(ending).toMatchObject({ output: { pushed: 2, list: ['a', 'of run'] } });
    expect(seen).toEqual([['a'], ['a'], ['a']]);
  });

  it('do not change while the body is executed', async () => {
    await everywhere(async () => {
      const order = { items: ['a'], at: new Map([[1, 'x']]) };
      const looked = steps.look(order);
      order.items.push('b');
      order.at.clear();
      await looked;
      return order.items;
    });
    expect(seen[0]).toEqual([{ items: ['a'], at: new Map([[1, 'x']]) }]);
  });

  it('may be an array in which a loop collects results of the body', async () => {
    const output = await everywhere(async (ctx) => {
      const list: string[] = [];
      for (const item of ['a', 'b', 'c']) {
        const length = await steps.push(list, item);
        list.push(`${item}${length}`);
        await ctx.sleep(1_000);
      }
      return list;
    });
    expect(output).toEqual(['a1', 'b2', 'c3']);
  });

  it('are the originals when a copy would behave differently', async () => {
    const { ending } = await execute(
      async () => {
        const order = new Order();
        return [await steps.same(order, order), await steps.same({ order }, order)];
      },
      { self: steps },
    );
    expect(ending).toMatchObject({ output: [true, false] });
  });

  it('stay separate from an object that the body returns and changes later', async () => {
    const { ending } = await execute(
      async (ctx) => {
        const kept = await steps.keep({ n: 1 });
        await ctx.sleep(1_000);
        return kept;
      },
      { self: steps },
    );
    expect(ending).toMatchObject({ output: { n: 1 } });
  });

  it('of a method that is called inside a step are not copied', async () => {
    const order: { id?: number } = {};
    const { ending } = await execute((ctx) => ctx.step('outer', async () => (await steps.create(order), order.id)), { self: steps });
    expect(ending).toMatchObject({ output: 7 });
  });

  it('that are copied and changed cause one warning in development', async () => {
    const workflow = async (): Promise<void> => {
      const list: string[] = [];
      await Promise.all(['a', 'b'].map((item) => steps.push(list, item)));
    };
    class Other extends Steps {}
    const other = new Other();
    const run = await execute(() => other.push(['a'], 'warned'), { self: {} });
    expect(run.run.warnings).toEqual([expect.stringMatching(/^Argument 1 of step "Other.push" was changed .* had a copy/)]);
    const quiet = await execute(workflow, { self: steps, settings: { isDevelopment: false } });
    expect(quiet.run.warnings).toEqual([]);
  });
});

describe('a changed argument that cannot be copied', () => {
  const create: WorkflowFunction = async () => {
    const order = new Order();
    await steps.create(order);
    return order.id;
  };

  it('fails the step in development, with an error that names the step and the argument', async () => {
    const { run, ending } = await execute(create, { self: steps });
    expect(ending.status).toBe('failed');
    const failed = (ending as { error: Error }).error as StepFailedError;
    expect(failed).toBeInstanceOf(StepFailedError);
    expect(failed.cause).toBeInstanceOf(ArgumentChangedError);
    expect(failed.cause).toMatchObject({ stepKey: 'create', argument: 0, className: 'Order', code: 'ARGUMENT_CHANGED' });
    expect((failed.cause as Error).message).toContain('Argument 1 (Order) of step "create"');
    expect(run.bodies.size + run.stored.history.steps.length).toBe(1);
  });

  it('causes a warning in production', async () => {
    const settings = { isDevelopment: false };
    const { run, ending } = await execute(create, { self: steps, settings });
    expect(ending).toEqual({ status: 'completed', output: 7 });
    expect(run.warnings).toEqual([expect.stringContaining('Argument 1 (Order) of step "create"')]);
    expect((await execute(create, { self: steps, settings })).run.warnings).toEqual([]);
  });

  it('is found inside another value, and when the body fails', async () => {
    const nested: WorkflowFunction = async () => {
      const order = new Order();
      await steps.push(order.items, 'a');
      await steps.look({ order });
      return order.items;
    };
    expect((await execute(nested, { self: steps })).ending).toMatchObject({ output: [] });
    failures = 1;
    const failing: WorkflowFunction = async () => steps.push(new (class List extends Array<string> {})(), 'a');
    const { run, ending } = await execute(failing, { self: steps });
    expect(((ending as { error: Error }).error.cause as Error).cause).toMatchObject({ message: 'again' });
    expect(run.stored.history.steps).toMatchObject([{ stepKey: 'push', status: 'failed', attempts: 1 }]);
  });
});

describe('inputs of child runs', () => {
  function starting(call: (ctx: WorkflowContext, input: object) => Promise<unknown>): {
    workflow: WorkflowFunction;
    inputs: unknown[];
    options: RunOptions;
  } {
    const inputs: unknown[] = [];
    const starts = {
      check: () => ({
        name: 'child',
        withInput: async (input: unknown) => {
          inputs.push(structuredClone(input));
          return { id: `c${inputs.length}` } as never;
        },
      }),
      idFor: () => 'child-1',
    };
    const workflow: WorkflowFunction = async (ctx) => {
      await ctx.step('a', () => 1);
      const input = { items: ['a'] };
      const done = call(ctx, input);
      done.catch(() => undefined);
      input.items.push('b');
      await Promise.race([done, ctx.sleep(1_000)]);
    };
    return { workflow, inputs, options: { settings: { starts } } };
  }

  it.each<[string, (ctx: WorkflowContext, input: object) => Promise<unknown>]>([
    ['invoke', (ctx, input) => ctx.invoke('child', input)],
    ['start', (ctx, input) => ctx.start('child', input)],
    ['invokeMany', (ctx, input) => ctx.invokeMany('child', [input, input], { maxInFlight: 1 })],
  ])('are as they were when the call was made: %s', async (_, call) => {
    for (const crashAt of [0, 1]) {
      const { workflow, inputs, options } = starting(call);
      const run = new TestRun(workflow, { ...options, crashes: (count) => count === crashAt });
      await run.end();
      expect(inputs).toEqual(inputs.map(() => ({ items: ['a'] })));
      expect(inputs.length).toBeGreaterThan(0);
    }
  });
});
