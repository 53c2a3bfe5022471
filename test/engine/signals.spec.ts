import { describe, expect, it } from '@jest/globals';

import { defineSignal } from '../../src/core/signal.js';
import { currentStep } from '../../src/engine/current.js';
import { execute, rest, TestRun } from './harness.js';
import { until, useVirtualTime } from './virtual-time.js';

const approved = defineSignal<string>('approved');
const rejected = defineSignal<string>('rejected');

useVirtualTime();

describe('a signal', () => {
  it('that arrived before its wait is taken at once, and no wait is recorded', async () => {
    const run = new TestRun(async (ctx) => {
      await ctx.sleep(1_000);
      return ctx.waitForSignal(approved);
    });
    run.send('signal:approved', 'ann');
    expect(await run.end()).toMatchObject({ status: 'completed', output: 'ann' });
    expect(run.journal.flushes.flat()).not.toContain('wait signal:approved');
    expect(run.stored.inbox.size).toBe(0);
  });

  it('that arrives during its wait ends the wait', async () => {
    const run = new TestRun(async (ctx) => ctx.waitForSignal(approved));
    await rest(run);
    expect(run.idle.at(-1)).toBe(Infinity);
    run.send('signal:approved', 'bob');
    expect(await run.end()).toMatchObject({ status: 'completed', output: 'bob' });
    expect(run.keys).toEqual(['signal:approved']);
  });

  it('is taken in order of arrival, each by one wait', async () => {
    const run = new TestRun(async (ctx) => [await ctx.waitForSignal(approved), await ctx.waitForSignal(approved)]);
    for (const name of ['one', 'two', 'three']) run.send('signal:approved', name);
    expect(await run.end()).toMatchObject({ output: ['one', 'two'] });
    expect([...run.stored.inbox.values()].map(({ payload }) => payload)).toEqual(['"three"']);
  });

  it('of another name is left in the inbox', async () => {
    const run = new TestRun(async (ctx) => ctx.waitForSignal(approved, { timeout: 50 }));
    run.send('signal:rejected', 'no');
    expect(await run.end()).toMatchObject({ output: null });
    expect(run.stored.inbox.size).toBe(1);
  });

  it('is kept for the next wait when the timeout wins', async () => {
    const run = new TestRun(async (ctx) => {
      const first = await ctx.waitForSignal(approved, { timeout: 1_000 });
      return [first, await ctx.waitForSignal(approved, { timeout: 1_000 })];
    });
    await rest(run);
    // Sends the signal in the round of the event loop in which the timeout enters.
    setTimeout(() => run.send('signal:approved', 'late'), 1_000);
    expect(await run.end()).toMatchObject({ output: [null, 'late'] });
  });

  it('is taken once, after whichever transition the process dies', async () => {
    for (let at = 1; at <= 8; at++) {
      const run = new TestRun(
        async (ctx) => {
          const a = await ctx.waitForSignal(approved, { timeout: '1h' });
          const b = await ctx.step('between', () => 'b');
          return [a, b, await ctx.waitForSignal(approved)];
        },
        { crashes: (count) => count === at },
      );
      run.send('signal:approved', 'x');
      run.send('signal:approved', 'y');
      expect(await run.end()).toMatchObject({ output: ['x', 'b', 'y'] });
    }
  });

  it('that an earlier wait takes does not prevent the recording of the next deadline', async () => {
    const begun = Date.now();
    const run = new TestRun(
      async (ctx) => {
        await ctx.sleep(10);
        return Promise.all([ctx.waitForSignal(approved), ctx.waitForSignal(approved, { timeout: 1_000_000 })]);
      },
      { suspends: true },
    );
    run.send('signal:approved', 'one');
    await until(() => run.keys.includes('signal:approved'));
    setTimeout(() => run.letGo(), 500_000);
    setTimeout(() => run.begin(), 600_000);
    expect(await run.end()).toMatchObject({ output: ['one', null] });
    expect(Date.now() - begun).toBe(1_000_010);
  });

  it('causes a warning when an abandoned wait takes it before a later wait', async () => {
    const run = new TestRun(async (ctx) => {
      await Promise.race([ctx.waitForSignal(approved), ctx.sleep(10)]);
      return ctx.waitForSignal(approved);
    });
    await until(
      () => run.keys.includes('sleep'),
      () => 'the sleep',
    );
    await rest(run);
    run.send('signal:approved', 'to the abandoned one');
    await rest(run);
    run.send('signal:approved', 'to the other');
    expect(await run.end()).toMatchObject({ output: 'to the other' });
    expect(run.warnings).toHaveLength(1);
    expect(run.warnings[0]).toContain('signal:approved');
  });
});

describe('ctx.race', () => {
  it('leaves the signal of a loser for the next wait, even when both arrived together', async () => {
    const run = new TestRun(async (ctx) => {
      const first = await ctx.race({ yes: () => ctx.waitForSignal(approved), no: () => ctx.waitForSignal(rejected) });
      return [first, await ctx.waitForSignal(rejected)];
    });
    await rest(run);
    run.send('signal:approved', 'a');
    run.send('signal:rejected', 'r');
    expect(await run.end()).toMatchObject({ output: [{ key: 'yes', value: 'a' }, 'r'] });
    expect(run.stored.waits.size).toBe(0);
  });

  it('withdraws steps: their bodies are aborted and their results dropped', async () => {
    let told = false;
    const { ending, run } = await execute(
      async (ctx) => {
        const result = await ctx.race({
          slow: () =>
            ctx.step('slow', async () => {
              currentStep().abortSignal.addEventListener('abort', () => (told = true));
              await new Promise((resolve) => setTimeout(resolve, 10_000));
            }),
          quick: () => ctx.sleep(10),
        });
        return result.key;
      },
      { bare: true },
    );
    expect(ending).toMatchObject({ output: 'quick' });
    expect(told).toBe(true);
    expect(run.keys).toEqual(['sleep']);
  });

  it('rejects when the first branch to end has failed, and losers learn which branch won', async () => {
    let reason: unknown;
    const { ending } = await execute(async (ctx) => {
      try {
        await ctx.race({
          fails: async () => {
            await ctx.sleep(5);
            throw new Error('first to fail');
          },
          waits: () => ctx.waitForSignal(approved).catch((error: unknown) => (reason = error)),
        });
      } catch (error) {
        await ctx.sleep(1);
        return [(error as Error).message, (reason as { code: string; winner: string }).code, (reason as { winner: string }).winner];
      }
      return 'nothing was thrown';
    });
    expect(ending).toMatchObject({ output: ['first to fail', 'RACE_LOST', 'fails'] });
  });

  it('has the same winner after whichever transition the process dies', async () => {
    for (let at = 1; at <= 10; at++) {
      const run = new TestRun(
        async (ctx) => {
          const winner = await ctx.race({
            paid: async () => {
              await ctx.waitForSignal(approved);
              return ctx.step('book', () => 'booked');
            },
            late: () => ctx.sleep('1 day'),
          });
          return [winner, await ctx.step('after', () => 'done')];
        },
        { crashes: (count) => count === at },
      );
      run.send('signal:approved', 'ok');
      expect(await run.end()).toMatchObject({ output: [{ key: 'paid', value: 'booked' }, 'done'] });
      expect(run.stored.waits.size).toBe(0);
    }
  });

  it('rejects inside a branch that has lost', async () => {
    const run = new TestRun(async (ctx) => {
      const outer = await ctx.race({
        inner: () => ctx.race({ a: () => ctx.waitForSignal(approved), b: () => ctx.waitForSignal(rejected) }),
        quick: () => ctx.sleep(5),
      });
      return [outer.key, await ctx.waitForSignal(approved)];
    });
    await until(
      () => run.keys.includes('sleep'),
      () => 'the sleep',
    );
    await rest(run);
    run.send('signal:approved', 'kept');
    expect(await run.end()).toMatchObject({ output: ['quick', 'kept'] });
    expect(run.warnings).toEqual([]);
  });
});

describe('a race that no code awaits', () => {
  it('causes no unhandled rejection when it fails', async () => {
    const unheard: unknown[] = [];
    const listener = (reason: unknown): void => void unheard.push(reason);
    process.on('unhandledRejection', listener);
    try {
      const run = new TestRun(async (ctx) => {
        void ctx.race({ a: () => ctx.waitForSignal(approved) });
        await ctx.sleep('1h');
      });
      await rest(run);
      run.cancel();
      expect(await run.end()).toMatchObject({ status: 'cancelled' });
      await rest(run);
      expect(unheard).toEqual([]);
    } finally {
      process.off('unhandledRejection', listener);
    }
  });
});

describe('a branch that has lost a race', () => {
  it('gets the rejection of its inner race, and cannot begin another race', async () => {
    const heard: unknown[] = [];
    const code = (error: unknown): unknown => heard.push((error as { code: string }).code);
    const { ending, run } = await execute(async (ctx) => {
      const { key } = await ctx.race({
        loser: async () => {
          await ctx.race({ a: () => ctx.waitForSignal(approved) }).catch(code);
          await ctx.race({ b: () => ctx.step('never', () => 1) }).catch(code);
        },
        winner: () => ctx.sleep(5),
      });
      await ctx.sleep(5);
      return key;
    });
    expect(ending).toMatchObject({ output: 'winner' });
    expect(heard).toEqual(['RACE_LOST', 'RACE_LOST']);
    expect(run.keys).toEqual(['sleep', 'sleep#2']);
  });
});

describe('an AbortSignal', () => {
  it('withdraws the wait to which it was passed', async () => {
    const run = new TestRun(async (ctx) => {
      const controller = new AbortController();
      const waiting = ctx.waitForSignal(approved, { signal: controller.signal }).catch((error: Error) => error.message);
      await ctx.sleep(5);
      controller.abort(new Error('no longer'));
      return [await waiting, await ctx.waitForSignal(approved)];
    });
    await until(
      () => run.keys.includes('sleep'),
      () => 'the sleep',
    );
    await rest(run);
    run.send('signal:approved', 'kept');
    expect(await run.end()).toMatchObject({ output: ['no longer', 'kept'] });
  });
});

describe('ctx.patched', () => {
  it('is true in every pass of a run that reaches the call with the change deployed', async () => {
    const run = new TestRun(
      async (ctx) => {
        await ctx.step('a', () => 1);
        return ctx.patched('check stock') ? ctx.step('new', () => 'new') : ctx.step('old', () => 'old');
      },
      { crashes: (count) => count <= 3 },
    );
    expect(await run.end()).toMatchObject({ output: 'new' });
  });

  it('is false for a run that had passed the place before', async () => {
    const run = new TestRun(async (ctx) => {
      await ctx.step('a', () => 1);
      await ctx.sleep('1h');
      return ctx.step('old', () => 'old');
    });
    await until(
      () => run.stored.waits.has('sleep'),
      () => 'the sleep',
    );
    run.letGo();
    run.workflow = async (ctx) => {
      await ctx.step('a', () => 1);
      const patched = ctx.patched('check stock');
      await ctx.sleep('1h');
      return patched ? 'new' : ctx.step('old', () => 'old');
    };
    run.begin();
    expect(await run.end()).toMatchObject({ output: 'old' });
  });
});
