import { describe, expect, it } from '@jest/globals';

import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { currentStep } from '../../src/engine/current.js';
import { Step } from '../../src/nest/decorators/decorators.js';
import { TestRun, type RunOptions, type WorkflowFunction } from './harness.js';
import { delay, useVirtualTime } from './virtual-time.js';

useVirtualTime();

class Payments {
  @Step({ compensate: 'refund' })
  async charge(_order: object): Promise<string> {
    return 'charged';
  }

  async refund(): Promise<void> {}
}

const ONCE = { retry: { maxAttempts: 1 } } as const;

/** Accounts of another system, which carries out each request with the same key only once. */
class Ledger {
  /** Effects in order, such as `+seat` and `-seat`. */
  readonly entries: string[] = [];
  private readonly keys = new Set<string>();

  charge(what: string): string {
    return this.once(`+${what}`, currentStep().idempotencyKey, what);
  }

  /** Refunds a charge. Throws for a charge that was never made. */
  refund(what: string): void {
    const { compensates, idempotencyKey } = currentStep();
    if (!this.keys.has(`+${what} ${compensates!.idempotencyKey}`)) throw new Error(`"${what}" was never charged`);
    this.once(`-${what}`, idempotencyKey, what);
  }

  private once(effect: string, key: string, what: string): string {
    if (!this.keys.has(`${effect} ${key}`)) {
      this.keys.add(`${effect} ${key}`);
      this.entries.push(effect);
    }
    return what;
  }

  /** Things that were charged and not refunded. */
  get open(): string[] {
    const open = this.entries.filter((entry) => entry.startsWith('+')).map((entry) => entry.slice(1));
    for (const entry of this.entries.filter((each) => each.startsWith('-'))) {
      const index = open.indexOf(entry.slice(1));
      if (index < 0) throw new Error(`${entry} without a charge`);
      open.splice(index, 1);
    }
    return open.sort();
  }
}

type Book = (ctx: WorkflowContext, what: string, body?: (what: string) => Promise<void>) => Promise<string>;

/** Returns a function that charges for a thing in a step whose compensation is a refund. */
function booking(ledger: Ledger): Book {
  return (ctx, what, body) =>
    ctx.step(what, { compensate: (output) => ledger.refund(output), retry: { maxAttempts: 1 } }, async () => {
      await body?.(what);
      return ledger.charge(what);
    });
}

const fails = async (): Promise<never> => {
  await delay(3);
  throw new Error('sold out');
};

/**
 * Executes the workflow without a crash, then with a crash after each durable transition. Checks
 * that each execution leaves the same records and effects.
 */
async function everywhere(
  workflow: (book: Book, ledger: Ledger) => WorkflowFunction,
  expected: { readonly keys: string[]; readonly open: string[] },
  options: RunOptions & { cancelAt?: number } = {},
): Promise<TestRun> {
  const { cancelAt, ...rest } = options;
  const execute = async (crashes?: (count: number) => boolean): Promise<TestRun> => {
    const ledger = new Ledger();
    const run = new TestRun(workflow(booking(ledger), ledger), { bare: true, ...rest, ...(crashes ? { crashes } : {}) });
    if (cancelAt !== undefined) setTimeout(() => run.ending ?? run.cancel('enough'), cancelAt);
    await run.end();
    expect(ledger.open).toEqual(expected.open);
    return run;
  };
  const first = await execute();
  expect(first.keys).toEqual(expected.keys);
  for (let point = 1; point <= first.keys.length + 1; point++) {
    const again = await execute((count) => count === point);
    expect([point, again.ending?.status]).toEqual([point, first.ending?.status]);
    expect([point, [...again.keys].sort()]).toEqual([point, [...first.keys].sort()]);
  }
  return first;
}

describe('a run with compensations', () => {
  it('undoes its completed steps in reverse order when it fails, and ends with its error', async () => {
    const run = await everywhere(
      (book) => async (ctx) => {
        await book(ctx, 'seat');
        await book(ctx, 'room');
        await ctx.step('mail', () => 'sent');
        await ctx.step('pay', ONCE, fails);
      },
      { keys: ['seat', 'room', 'mail', 'pay', '$compensating', '$compensate:room', '$compensate:seat', '$compensated'], open: [] },
    );
    expect(run.ending).toMatchObject({ status: 'failed', error: { code: 'STEP_FAILED', stepKey: 'pay' } });
  });

  it('undoes nothing when it completes', async () => {
    await everywhere(
      (book) => async (ctx) => {
        await book(ctx, 'seat');
      },
      { keys: ['seat'], open: ['seat'] },
    );
  });

  it('waits for a step that is executing, and undoes the step too', async () => {
    await everywhere(
      (book) => async (ctx) => {
        await Promise.all([book(ctx, 'seat', () => delay(50)), ctx.step('pay', ONCE, fails)]);
      },
      { keys: ['pay', '$compensating', 'seat', '$compensate:seat', '$compensated'], open: [] },
    );
  });

  it('undoes its steps after a cancellation and its cleanup', async () => {
    const run = await everywhere(
      (book) => async (ctx) => {
        await book(ctx, 'seat');
        try {
          await Promise.all([ctx.sleep('1h'), book(ctx, 'room', () => delay(50))]);
        } finally {
          await ctx.step('tidy', () => 'tidy');
        }
      },
      { keys: ['seat', '$cancel', 'tidy', '$compensating', 'room', '$compensate:room', '$compensate:seat', '$compensated'], open: [] },
      { cancelAt: 20 },
    );
    expect(run.ending?.status).toBe('cancelled');
  });

  it('undoes its steps when the time for cleanup is used up', async () => {
    await everywhere(
      (book) => async (ctx) => {
        await book(ctx, 'seat');
        await ctx.sleep('1h').catch(() => ctx.sleep('2h'));
      },
      { keys: ['seat', '$cancel', '$compensating', '$compensate:seat', '$compensated'], open: [] },
      { cancelAt: 20 },
    );
  });

  it('ships nothing after its compensations have begun, even if its code behaves differently in a replay', async () => {
    for (const pauseMs of [0, 20]) {
      const ledger = new Ledger();
      let passes = 0;
      const slow = async (): Promise<void> => {
        await delay(50);
        ledger.refund('seat');
      };
      const run = new TestRun(
        async (ctx) => {
          await ctx.step('seat', { compensate: slow }, () => ledger.charge('seat'));
          if (++passes === 1) throw new Error('a failure of ordinary I/O, which no record repeats');
          if (pauseMs > 0) await delay(pauseMs);
          await ctx.step('ship', () => ledger.charge('ship'));
        },
        { bare: true, crashes: (count) => count === 2 },
      );
      expect(await run.end()).toMatchObject({ status: 'failed', error: { message: expect.stringContaining('ordinary I/O') } });
      expect([passes, ledger.entries]).toEqual([2, ['+seat', '-seat']]);
    }
  });

  it('fails when a compensation fails for good, with both errors, and does not undo the earlier steps', async () => {
    const ledger = new Ledger();
    const book = booking(ledger);
    const run = new TestRun(
      async (ctx) => {
        await book(ctx, 'seat');
        await ctx.step('room', { compensate: () => Promise.reject(new Error('closed')), ...ONCE }, () => ledger.charge('room'));
        await ctx.step('pay', ONCE, fails);
      },
      { bare: true },
    );
    const { error } = (await run.end()) as unknown as { error: AggregateError };
    expect(error).toMatchObject({ code: 'COMPENSATION_FAILED', cause: { stepKey: 'pay' } });
    expect(error.errors).toMatchObject([{ stepKey: '$compensate:room', cause: { message: 'closed' } }]);
    expect(run.keys.slice(-2)).toEqual(['$compensating', '$compensate:room']);
    expect(ledger.open).toEqual(['room', 'seat']);
  });

  it('gives a compensation of attempted steps no output, and the idempotency key of the step', async () => {
    const undone: unknown[] = [];
    const run = new TestRun(
      async (ctx) => {
        const undo = (output: unknown): void => void undone.push([output, currentStep().compensates]);
        await ctx.step('done', { compensate: undo, compensateOn: 'attempted' }, () => 'done');
        await ctx.step('hangs', { compensate: undo, compensateOn: 'attempted', timeout: 10, ...ONCE }, () => delay(1_000));
      },
      { bare: true },
    );
    await run.end();
    expect(undone).toEqual([
      [undefined, { stepKey: 'hangs', idempotencyKey: 'run-1:hangs', status: 'failed' }],
      ['done', { stepKey: 'done', idempotencyKey: 'run-1:done', status: 'completed' }],
    ]);
  });
});

describe('ctx.saga', () => {
  it('undoes its steps when it fails, and the caller tries something else', async () => {
    const run = await everywhere(
      (book) => async (ctx) => {
        await book(ctx, 'taxi');
        for (const airline of ['a', 'b']) {
          try {
            return await ctx.saga(async () => {
              await book(ctx, `seat ${airline}`);
              await book(ctx, `meal ${airline}`, airline === 'a' ? fails : undefined);
              return airline;
            });
          } catch (error) {
            if (!(error as Error).message.includes('sold out')) throw error;
          }
        }
        return 'none';
      },
      { keys: ['taxi', 'seat a', 'meal a', 'saga', '$compensate:seat a', 'seat b', 'meal b'], open: ['meal b', 'seat b', 'taxi'] },
    );
    expect(run.ending).toMatchObject({ status: 'completed', output: 'b' });
  });

  it('leaves the steps of a completed saga to the run, which undoes them when it fails later', async () => {
    await everywhere(
      (book) => async (ctx) => {
        await ctx.saga(async () => {
          await book(ctx, 'seat');
          await ctx.saga(() => book(ctx, 'meal'));
        });
        await book(ctx, 'room', fails);
      },
      { keys: ['seat', 'meal', 'room', '$compensating', '$compensate:meal', '$compensate:seat', '$compensated'], open: [] },
    );
  });

  it('keeps the steps of parallel sagas apart', async () => {
    await everywhere(
      (book) => async (ctx) => {
        const trip = (name: string, ms: number): Promise<unknown> =>
          ctx
            .saga(async () => {
              await book(ctx, `${name}1`, () => delay(ms));
              await book(ctx, `${name}2`, name === 'a' ? fails : () => delay(ms));
            })
            .catch(() => undefined);
        await Promise.all([trip('a', 5), trip('b', 6), trip('c', 7)]);
      },
      { keys: ['a1', 'b1', 'c1', 'a2', 'saga', '$compensate:a1', 'b2', 'c2'], open: ['b1', 'b2', 'c1', 'c2'] },
    );
  });

  it('undoes an unfinished inner saga, and begins no further call in the inner saga', async () => {
    await everywhere(
      (book) => async (ctx) => {
        await ctx
          .saga(() =>
            Promise.all([
              ctx.saga(async () => {
                await book(ctx, 'seat', () => delay(20));
                await book(ctx, 'meal');
              }),
              book(ctx, 'room', fails),
            ]),
          )
          .catch(() => undefined);
        await ctx.step('rest', () => delay(30));
      },
      { keys: ['room', 'saga', 'seat', '$compensate:seat', 'rest'], open: [] },
    );
  });

  it('undoes a call that its code made after the saga had completed, when the run fails later', async () => {
    const later =
      (book: Book): WorkflowFunction =>
      async (ctx) => {
        await ctx.saga(async () => {
          void (async () => {
            await delay(10);
            await book(ctx, 'seat');
            await ctx.saga(() => book(ctx, 'meal'));
          })();
        });
        await ctx.step('rest', () => delay(50));
        throw new Error('sold out');
      };
    await everywhere(later, {
      keys: ['seat', 'meal', 'rest', '$compensating', '$compensate:meal', '$compensate:seat', '$compensated'],
      open: [],
    });
  });

  it('hands its compensations over to a saga around it that fails meanwhile, one compensation at a time', async () => {
    const run = await everywhere(
      (book, ledger) => async (ctx) => {
        let executing = 0;
        const slow = (what: string): Promise<unknown> => {
          const compensate = async (): Promise<void> => {
            expect(++executing).toBe(1);
            await delay(50);
            executing--;
            ledger.refund(what);
          };
          return ctx.step(what, { compensate }, () => ledger.charge(what));
        };
        const trip = async (): Promise<never> => {
          await slow('seat');
          await slow('meal');
          return fails();
        };
        await ctx
          .saga(() => Promise.all([ctx.saga(trip), slow('taxi'), book(ctx, 'room', () => delay(30).then(fails))]))
          .catch(() => undefined);
        return 'home';
      },
      {
        keys: ['seat', 'taxi', 'meal', 'saga', 'room', 'saga#2', '$compensate:meal', '$compensate:taxi', '$compensate:seat'],
        open: [],
      },
    );
    expect(run.ending).toMatchObject({ status: 'completed', output: 'home' });
  });

  it('leaves the failure of a compensation to the cancellation that interrupted the saga', async () => {
    const run = new TestRun(
      async (ctx) => {
        try {
          await ctx.saga(async () => {
            const compensate = (): Promise<never> => delay(50).then(() => Promise.reject(new Error('closed')));
            await ctx.step('seat', { compensate, ...ONCE }, () => 'seat');
            await fails();
          });
        } finally {
          await ctx.step('tidy', () => delay(100));
        }
      },
      { bare: true },
    );
    setTimeout(() => run.cancel(), 20);
    expect(await run.end()).toMatchObject({
      status: 'failed',
      error: { code: 'COMPENSATION_FAILED', cause: { code: 'WORKFLOW_CANCELLED' } },
    });
    expect(run.keys).toEqual(['seat', 'saga', '$cancel', '$compensate:seat', 'tidy', '$compensating']);
  });

  it('hands its compensations over to a cancellation', async () => {
    await everywhere(
      (book, ledger) => async (ctx) => {
        await book(ctx, 'taxi');
        await ctx.saga(async () => {
          await book(ctx, 'seat');
          const slow = async (): Promise<void> => {
            await delay(100);
            ledger.refund('meal');
          };
          await ctx.step('meal', { compensate: slow }, () => ledger.charge('meal'));
          await fails();
        });
      },
      {
        keys: [
          'taxi',
          'seat',
          'meal',
          'saga',
          '$cancel',
          '$compensating',
          '$compensate:meal',
          '$compensate:seat',
          '$compensate:taxi',
          '$compensated',
        ],
        open: [],
      },
      { cancelAt: 50 },
    );
  });

  it('undoes its steps when it loses a race, and the run waits for the compensations', async () => {
    await everywhere(
      (book, ledger) => async (ctx) => {
        const slow = async (): Promise<void> => {
          await delay(100);
          ledger.refund('seat');
        };
        await ctx.race({
          trip: () =>
            ctx.saga(async () => {
              await ctx.step('seat', { compensate: slow }, () => ledger.charge('seat'));
              await book(ctx, 'room', () => delay(50));
            }),
          late: () => ctx.sleep(20),
        });
        return 'late';
      },
      { keys: ['seat', 'sleep', 'saga', 'room', '$compensate:room', '$compensate:seat'], open: [] },
    );
  });

  it('undoes its steps when it loses a race, even if its code ends later than the run', async () => {
    await everywhere(
      (book) => async (ctx) => {
        await ctx.race({
          trip: () =>
            ctx.saga(async () => {
              await book(ctx, 'seat');
              await ctx.saga(() => ctx.sleep(50)).catch(() => undefined);
              await delay(5);
              throw new Error('no room');
            }),
          late: () => ctx.sleep(20),
        });
        return 'late';
      },
      { keys: ['seat', 'sleep', 'saga', '$compensate:seat'], open: [] },
    );
  });

  it('does not begin the body of a step that lost a race and has its last result', async () => {
    let bodies = 0;
    const run = new TestRun(
      async (ctx) => {
        for (const name of ['taxi', 'room']) await ctx.step(name, () => name);
        const options = { compensate: () => undefined, compensateOn: 'attempted', transactional: true } as const;
        const branches = {
          seat: () => ctx.step('seat', options, () => void bodies++),
          throws: () => Promise.reject(new Error('sold out')),
        };
        await ctx.saga(() => ctx.race(branches)).catch(() => undefined);
      },
      { bare: true, crashes: (count) => count === 1 },
    );
    expect(await run.end()).toMatchObject({ status: 'completed' });
    expect([bodies, run.keys]).toEqual([0, ['taxi', 'room', 'saga', 'seat', '$compensate:seat']]);
  });

  it('closes the wait of a step that was to be tried again when the run failed', async () => {
    for (let point = 1; point <= 5; point++) {
      const run = new TestRun(
        async (ctx) => {
          const retry = { maxAttempts: 3, initialInterval: 50, jitter: false } as const;
          const seat = ctx.step('seat', { compensate: () => undefined, compensateOn: 'attempted', retry }, fails);
          await Promise.all([seat, ctx.step('pay', ONCE, () => delay(20).then(fails))]);
        },
        { bare: true, crashes: (count) => count === point },
      );
      await run.end();
      const seat = run.stored.history.steps.find(({ stepKey }) => stepKey === 'seat');
      expect([point, run.ending?.status, seat?.attempts]).toEqual([point, 'failed', 1]);
    }
  });

  it('ignores a cancellation after it has failed while a transaction committed', async () => {
    const run = new TestRun(
      async (ctx) => {
        const seat = ctx.step('seat', { compensate: () => delay(5), transactional: true }, () => 'seat');
        await Promise.all([seat, delay(3).then(fails)]);
      },
      { bare: true, commitMs: 20 },
    );
    setTimeout(() => run.cancel(), 10);
    expect(await run.end()).toMatchObject({ status: 'failed' });
    expect(run.keys).toEqual(['seat', '$compensating', '$compensate:seat', '$compensated']);
  });

  it('keeps the pause of a compensation when the run is cancelled meanwhile', async () => {
    const times: number[] = [];
    const retry = { maxAttempts: 2, initialInterval: 1_000, jitter: false } as const;
    const run = new TestRun(
      async (ctx) => {
        await ctx.saga(async () => {
          const compensate = async (): Promise<void> => {
            if (times.push(Date.now()) === 1) throw new Error('the airline is closed');
          };
          await ctx.step('seat', { compensate, retry }, () => 'seat');
          throw new Error('sold out');
        });
      },
      { bare: true },
    );
    setTimeout(() => run.cancel(), 500);
    expect(await run.end()).toMatchObject({ status: 'cancelled' });
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(1_000);
  });

  it('refuses to begin in a step, without a function, and to continue as another run', async () => {
    const run = new TestRun(
      async (ctx) => {
        await expect(ctx.saga(undefined as never)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
        await expect(ctx.saga(() => ctx.continueAsNew('other' as never))).rejects.toThrow('must not be called in ctx.saga');
        return ctx.step('a', () => ctx.saga(() => 1).catch((error: Error) => error.name));
      },
      { bare: true },
    );
    expect(await run.end()).toMatchObject({ status: 'completed', output: 'NestedStepError' });
  });

  it('refuses options of a step that do not fit its compensation', async () => {
    const run = new TestRun(
      async (ctx) => {
        const undo = { compensate: 'no function' as never };
        await expect(ctx.step('a', undo, () => 1)).rejects.toThrow('compensate must be a function');
        await expect(ctx.step('a', { compensate: () => 1, timeout: 5 }, () => 1)).rejects.toThrow('compensateOn is required with timeout');
      },
      { bare: true },
    );
    await run.end();
    expect(run.keys).toEqual([]);
  });

  it('refuses arguments that cannot be stored before the body of a step with a compensation begins', async () => {
    const run = new TestRun(
      async () => {
        await expect(new Payments().charge({ body: () => 1 })).rejects.toMatchObject({ code: 'SERIALIZATION' });
      },
      { bare: true },
    );
    expect(await run.end()).toMatchObject({ status: 'completed' });
    expect(run.keys).toEqual([]);
  });
});
