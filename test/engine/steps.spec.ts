import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';

import {
  InvalidInputError,
  NestedStepError,
  PayloadTooLargeError,
  SerializationError,
  StepFailedError,
} from '../../src/core/errors/index.js';
import { currentStep, NotInStepError } from '../../src/engine/current.js';
import { Step } from '../../src/nest/decorators/decorators.js';
import { execute, TestRun, type WorkflowFunction } from './harness.js';
import { delay, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/**
 * Executes a workflow, then replays it from its records. Both must end the same, and the replay
 * must execute no body.
 */
async function twice(workflow: WorkflowFunction): Promise<TestRun> {
  const { run, ending } = await execute(workflow);
  const again = await execute(workflow, { history: run.stored.history });
  expect(again.ending).toEqual(ending);
  expect(again.run.effects).toEqual([]);
  return run;
}

class Point {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}
  get length(): number {
    return Math.hypot(this.x, this.y);
  }
}

describe('step keys', () => {
  it('cause one warning when branches with ordinary I/O call one name at the same time', async () => {
    const rivals = new TestRun(async (ctx) => {
      const branch = async (ms: number): Promise<unknown> => {
        await delay(ms);
        return ctx.step('fetch page', () => delay(50));
      };
      await Promise.all([branch(1), branch(2), branch(3)]);
    });
    await rivals.end();
    expect(rivals.warnings).toEqual([expect.stringContaining('"fetch page"')]);

    const others = new TestRun(async (ctx) => {
      await Promise.all([1, 2, 3].map((page) => ctx.step('at once', () => page)));
      for (const page of [1, 2]) {
        await delay(1);
        await ctx.step('one after another', () => page);
      }
      const keyed = async (page: number): Promise<unknown> => {
        await delay(page);
        return ctx.step('keyed', { key: String(page) }, () => delay(50));
      };
      await Promise.all([keyed(1), keyed(2)]);
    });
    await others.end();
    expect(others.warnings).toEqual([]);
  });

  it('number calls of the same name, unless the calls have keys', async () => {
    const run = await twice(async (ctx) => {
      await ctx.step('charge', () => 1);
      await ctx.step('charge', () => 2);
      await ctx.step('charge', { key: 'eu' }, () => 3);
      await ctx.step('charge', { key: 'us' }, () => 4);
      await ctx.step('charge', { key: 'eu' }, () => 5);
      await ctx.sleep(1);
      await ctx.sleepUntil(new Date(0));
    });
    expect(run.keys).toEqual(['charge', 'charge#2', 'charge:eu', 'charge:us', 'charge:eu#2', 'sleep', 'sleep#2']);
  });

  it('are assigned when the call is made, not when the step ends', async () => {
    const run = await twice((ctx) =>
      Promise.all([ctx.step('x', () => delay(30)), ctx.step('x', () => delay(20)), ctx.step('x', { key: 'k' }, () => delay(10))]),
    );
    expect(run.keys).toEqual(['x:k', 'x#2', 'x']);
  });

  it.each([[''], ['x'.repeat(256)]])('refuse the name %j, and nothing is recorded', async (name) => {
    const { run, ending } = await execute((ctx) => ctx.step(name, () => 1));
    expect(ending).toMatchObject({ status: 'failed', error: { name: 'InvalidInputError' } });
    expect(run.keys).toEqual([]);
  });

  it('are not consumed by a refused call', async () => {
    const { run } = await execute(async (ctx) => {
      await ctx.step('a', { key: '' }, () => 1).catch(() => undefined);
      await ctx.step('a', { retry: { maxAttempts: 0 } }, () => 1).catch(() => undefined);
      await (ctx as any).step('a', undefined).catch(() => undefined);
      await ctx.step('a', () => 1);
    });
    expect(run.keys).toEqual(['a']);
  });
});

describe('a recorded result', () => {
  it('is returned instead of executing the step again', async () => {
    const workflow: WorkflowFunction = async (ctx) => [await ctx.step('a', () => Math.random()), await ctx.step('b', () => Math.random())];
    const { run, ending } = await execute(workflow, { crashes: (count) => count === 1 });
    expect(run.bodies).toEqual(
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
    );
    const again = await execute(workflow, { history: run.stored.history });
    expect(again.ending).toEqual(ending);
    expect(again.run.effects).toEqual([]);
  });

  it('that was lost in a crash is produced again, under the same idempotency key', async () => {
    const keys: string[] = [];
    const run = new TestRun((ctx) => ctx.step('a', () => void keys.push(currentStep().idempotencyKey)));
    run.journal.stopped = true;
    setTimeout(() => {
      run.journal.stopped = false;
      run.crash();
    }, 10);
    await run.end();
    expect(keys).toEqual(['run-1:a', 'run-1:a']);
  });

  it.each<[string, () => unknown]>([
    ['a Date', () => new Date(5)],
    ['a Map in an array', () => [new Map([[1, new Set(['a'])]])]],
    ['undefined', () => undefined],
    ['null', () => null],
    ['-0 and NaN', () => [-0, Number.NaN]],
    ['a class instance', () => new Point(3, 4)],
    ['an object with toJSON', () => ({ toJSON: () => 'text' })],
    ['an error', () => new RangeError('far')],
    ['one object twice', () => ((one) => [one, one])({ a: 1 })],
  ])('is the decoded stored value the first time too: %s', async (_, make) => {
    const seen: unknown[] = [];
    const made: unknown[] = [];
    await twice(async (ctx) => {
      seen.push(
        await ctx.step('a', () => {
          made.push(make());
          return made[0];
        }),
      );
    });
    expect(seen).toHaveLength(2);
    expect(seen[0]).toStrictEqual(seen[1]);
    if (typeof made[0] === 'object' && made[0] !== null) expect(seen[0]).not.toBe(made[0]);
  });

  it('loses its class in the first pass too', async () => {
    const { ending } = await execute(async (ctx) => {
      const point = await ctx.step('a', () => new Point(3, 4));
      return [point instanceof Point, point.length, point.x];
    });
    expect(ending).toMatchObject({ output: [false, undefined, 3] });
  });

  it('does not change when the code changes the returned object', async () => {
    const run = await twice(async (ctx) => {
      const list = await ctx.step('a', () => [1]);
      list.push(2);
      return list.length;
    });
    expect(run.stored.history.steps[0]!.output).toBe('[1]');
  });

  it.each<[string, () => unknown, abstract new (...args: never[]) => Error]>([
    ['cannot be stored', () => () => 1, SerializationError],
    ['is too large', () => 'x'.repeat(1_000_001), PayloadTooLargeError],
  ])('that %s fails the step at once, and the code may catch that', async (_, make, errorClass) => {
    const run = await twice(async (ctx) => {
      const error = await ctx.step('a', { retry: { maxAttempts: 5 } }, make).catch((error: unknown) => error);
      return [StepFailedError.is(error, errorClass), await ctx.step('b', () => 1)];
    });
    expect(run.ending).toMatchObject({ output: [true, 1] });
    expect(run.bodies.get('a')).toBe(1);
  });

  it('of run() fails the run when it cannot be stored', async () => {
    const { ending } = await execute(() => ({ deep: () => 1 }));
    expect(ending).toMatchObject({ status: 'failed', error: { name: 'SerializationError', message: expect.stringContaining('deep') } });
  });
});

class Shop {
  readonly calls: string[] = [];
  readonly payments = new PaymentService();

  @Step()
  async charge(amount: number): Promise<string> {
    this.calls.push(currentStep().stepKey);
    return `charged ${amount} ${await this.payments.fee(amount)}`;
  }

  @Step({ key: (country: string) => country, name: 'tax' })
  async taxes(country: string): Promise<string> {
    return `${country} ${currentStep().stepKey}`;
  }

  async run(): Promise<unknown[]> {
    return [await this.charge(7), await this.taxes('eu'), await this.payments.fee(1)];
  }
}

class PaymentService {
  @Step()
  async fee(amount: number): Promise<number> {
    return amount * 2;
  }
}

describe('nested steps', () => {
  it('ctx.step inside a step is refused with an error that names both', async () => {
    const { run, ending } = await execute(async (ctx) => {
      await ctx.step('outer', { retry: { maxAttempts: 1 } }, () => ctx.step('inner', () => 1));
    });
    expect(ending).toMatchObject({ status: 'failed', error: { name: 'StepFailedError', cause: { name: 'NestedStepError' } } });
    const cause = (ending as { error: Error }).error.cause as NestedStepError;
    expect(cause).toBeInstanceOf(NestedStepError);
    expect(cause.message).toMatch(/"inner".*"outer"/);
    expect(run.bodies).toEqual(new Map([['outer', 1]]));
  });

  it('ctx.sleep inside a step is refused, even after an await in the body', async () => {
    const { ending } = await execute((ctx) =>
      ctx.step('outer', { retry: { maxAttempts: 1 } }, async () => {
        await delay(5);
        await ctx.sleep(5);
      }),
    );
    expect(ending).toMatchObject({ error: { cause: { name: 'NestedStepError', innerStep: 'sleep', outerStepKey: 'outer' } } });
  });

  it('a method with @Step called inside a step is a plain call', async () => {
    const shop = new Shop();
    const { run, ending } = await execute(() => shop.run(), { self: shop });
    expect(ending).toMatchObject({ output: ['charged 7 14', 'eu tax:eu', 2] });
    expect(run.keys).toEqual(['charge', 'tax:eu', 'PaymentService.fee']);
  });

  it('a method with @Step called outside a run is a plain call', async () => {
    await expect(new PaymentService().fee(4)).resolves.toBe(8);
    expect(() => currentStep()).toThrow(NotInStepError);
  });

  it('a method with @Step is recorded after an earlier step has ended', async () => {
    const shop = new Shop();
    const { run } = await execute(
      async (ctx) => {
        await ctx.step('first', () => delay(3));
        await Promise.all([shop.charge(1), shop.charge(2)]);
      },
      { self: shop },
    );
    expect(run.keys).toEqual(['first', 'charge', 'charge#2']);
    expect(shop.calls).toEqual(['charge', 'charge#2']);
  });

  it('a key that throws rejects the call', async () => {
    class Bad {
      @Step({
        key: (): string => {
          throw new InvalidInputError('key', 'is bad');
        },
      })
      async pay(): Promise<void> {}
    }
    const { ending } = await execute(() => new Bad().pay());
    expect(ending).toMatchObject({ status: 'failed', error: { name: 'InvalidInputError' } });
  });
});
