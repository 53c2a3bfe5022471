import { describe, expect, it } from '@jest/globals';

import { currentStep, type CurrentStep } from '../../src/engine/current.js';
import { execute, rest, TestRun, type WorkflowFunction } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

const DAY = 86_400_000;

describe('a sleep', () => {
  it('lasts as long as its duration', async () => {
    const begun = Date.now();
    const { run } = await execute(async (ctx) => {
      await ctx.sleep('3 days');
      await ctx.sleepUntil(new Date(begun + 5 * DAY));
      await ctx.sleepUntil(new Date(begun));
    });
    expect(run.stored.history.steps.map(({ kind, finishedAt }) => [kind, finishedAt - begun])).toEqual([
      ['sleep', 3 * DAY],
      ['sleep', 5 * DAY],
      ['sleep', 5 * DAY],
    ]);
  });

  it('computes its wake time once, and a later pass does not restart it', async () => {
    const begun = Date.now();
    const run = new TestRun((ctx) => ctx.sleep('3 days'));
    await until(() => run.stored.waits.size > 0);
    for (let crash = 1; crash <= 2; crash++) {
      run.letGo();
      setTimeout(() => run.begin(), DAY);
      await until(() => Date.now() === begun + crash * DAY);
    }
    await run.end();
    expect(run.stored.history.steps[0]!.finishedAt).toBe(begun + 3 * DAY);
    expect(run.journal.flushes.flat()).toEqual(['wait sleep', 'step sleep', 'ended']);
  });

  it('ends at once when its time passed while the run had no owner', async () => {
    const run = new TestRun((ctx) => ctx.sleep('1h'));
    await until(() => run.stored.waits.size > 0);
    run.letGo();
    const late = Date.now() + DAY;
    setTimeout(() => run.begin(), DAY);
    await run.end();
    expect(run.stored.history.steps[0]!.finishedAt).toBe(late);
  });

  it('never ends early, although timers may fire early', async () => {
    const begun = Date.now();
    const { run } = await execute((ctx) => ctx.sleep(100), { settings: { now: () => begun + (Date.now() - begun) * 0.7 } });
    expect(run.stored.history.steps[0]!.finishedAt).toBeGreaterThanOrEqual(begun + 100);
  });

  it('ends in order of wake times among several sleeps', async () => {
    const { run, ending } = await execute(async (ctx) => {
      const order: number[] = [];
      await Promise.all([30, 10, 20].map((ms) => ctx.sleep(ms).then(() => order.push(ms))));
      return order;
    });
    expect(ending).toMatchObject({ output: [10, 20, 30] });
    expect(run.keys).toEqual(['sleep#2', 'sleep#3', 'sleep']);
  });
});

describe('the suspension of a run', () => {
  const workflow: WorkflowFunction = async (ctx) => {
    const order: unknown[] = [];
    try {
      order.push(await ctx.step('a', () => 1));
      order.push(await Promise.race([ctx.sleep('1h').then(() => 'hour'), ctx.sleep('1 day').then(() => 'day')]));
      const [one] = await Promise.allSettled([
        ctx.sleep(5),
        ctx.step('b', { retry: { initialInterval: '1m' } }, () => (currentStep().attempt < 2 ? Promise.reject(new Error('once')) : 1)),
      ]);
      order.push(one.status);
    } catch {
      order.push('caught');
    } finally {
      order.push(await ctx.step('c', () => 3));
    }
    return order;
  };

  it('passes through no user code and does not change what the run does', async () => {
    const { run, ending } = await execute(workflow);
    const suspended = await execute(workflow, { suspends: true });
    expect(suspended.run.passes).toBeGreaterThan(3);
    expect(suspended.ending).toEqual(ending);
    expect(suspended.ending).toMatchObject({ output: [1, 'hour', 'fulfilled', 3] });
    expect(suspended.run.keys).toEqual(run.keys);
    expect(suspended.run.effects).toEqual(run.effects);
  });

  it('is offered with the first wake time while the run is idle, not while it is busy', async () => {
    const begun = Date.now();
    const run = new TestRun(async (ctx) => {
      await Promise.all([ctx.sleep('1h'), ctx.sleep('30m').then(() => ctx.step('a', () => delay(100)))]);
    });
    await until(() => run.idle.length > 0);
    expect(run.idle.at(-1)).toBe(begun + 1_800_000);
    await until(() => run.effects.length > 0);
    expect(run.idle.at(-1)).toBeNull();
    await until(() => run.keys.includes('a'));
    await rest(run);
    expect(run.idle.at(-1)).toBe(begun + 3_600_000);
    await run.end();
  });

  it('is not offered while a body is executed or a result is not durable', async () => {
    const run = new TestRun((ctx) => Promise.all([ctx.sleep('1h'), ctx.step('a', () => delay(100))]));
    await until(() => run.stored.waits.size > 0);
    run.journal.stopped = true;
    expect(run.pass.isWorking).toBe(true);
    await until(() => run.journal.waiting.length > 0);
    await rest(run);
    expect(run.pass.isWorking).toBe(true);
    expect(run.idle.filter((wakeAt) => wakeAt !== null)).toEqual([]);
    run.journal.go();
    await rest(run);
    expect(run.pass.isWorking).toBe(false);
    expect(run.idle.at(-1)).not.toBeNull();
    await run.end();
  });

  it('is not offered while the run only does ordinary I/O', async () => {
    const run = new TestRun(async (ctx) => {
      await ctx.step('a', () => 1);
      await delay(5_000);
    });
    await run.end();
    expect(run.idle.filter((wakeAt) => wakeAt !== null)).toEqual([]);
  });

  it('holds the pass, which begins nothing new until it is resumed', async () => {
    const run = new TestRun(async (ctx) => {
      const first = ctx.step('a', () => delay(10));
      await delay(20);
      await Promise.all([first, ctx.step('b', () => 1), ctx.sleep(5)]);
    });
    await until(() => run.effects.length > 0);
    run.pass.hold();
    await until(() => run.keys.includes('a'));
    let later = false;
    setTimeout(() => (later = true), 1_000);
    await until(() => later);
    expect(run.effects).toEqual(['a']);
    expect(run.stored.waits.size).toBe(0);
    run.pass.resume();
    expect(await run.end()).toMatchObject({ status: 'completed' });
    expect(run.effects).toEqual(['a', 'b']);
  });

  it('keeps timers that fall due out of a held pass until it is resumed', async () => {
    const run = new TestRun((ctx) =>
      Promise.all([
        ctx.sleep(1_000),
        ctx.step('a', { retry: { initialInterval: 1_001 } }, () => (currentStep().attempt < 2 ? Promise.reject(new Error('once')) : 1)),
      ]),
    );
    await until(() => run.stored.waits.size === 2);
    run.pass.hold();
    run.journal.stopped = true;
    let due = false;
    setTimeout(() => (due = true), 1_010);
    await until(() => due);
    expect(run.journal.waiting).toEqual([]);
    expect(run.bodies.get('a')).toBe(1);
    run.pass.resume();
    await rest(run);
    expect(run.journal.waiting).toContain('step sleep');
    run.journal.go();
    await run.end();
    expect(run.bodies.get('a')).toBe(2);
  });
});

describe('an abandoned pass', () => {
  it('never settles its calls and writes nothing, even if its code and bodies continue', async () => {
    const log: string[] = [];
    const run = new TestRun(async (ctx) => {
      const life = run.passes;
      const note = (what: string): number => log.push(`${life} ${what}`);
      try {
        void ctx
          .step('body', () => delay(50))
          .then(
            () => note('body'),
            () => note('body failed'),
          );
        await delay(20);
        note('io');
        await ctx.step('late', () => note('late body'));
        note('late');
        await ctx.sleep(1);
      } catch {
        note('caught');
      } finally {
        note('finally');
      }
    });
    await until(() => run.effects.length > 0);
    run.letGo();
    setTimeout(() => run.begin(), 1_000);
    await run.end();
    expect(log.filter((line) => line.startsWith('1'))).toEqual(['1 io']);
    expect(run.effects).toEqual(['body', 'body', 'late']);
  });

  it.each([[undefined], [new Error('lost')]])(
    'aborts the signals of its bodies, even if they are read later (reason: %s)',
    async (reason) => {
      const bodies: CurrentStep[] = [];
      const run = new TestRun((ctx) => {
        // Reads the signal before and after the abort.
        void ctx.abortSignal;
        return Promise.all([
          ctx.step('a', () => {
            bodies.push(currentStep());
            currentStep().abortSignal.throwIfAborted();
            return delay(50);
          }),
          ctx.step('b', () => {
            bodies.push(currentStep());
            return delay(50);
          }),
        ]);
      });
      await until(() => bodies.length === 2);
      run.letGo(reason);
      expect(bodies.map((body) => body.abortSignal.aborted)).toEqual([true, true]);
      expect(run.pass.context.abortSignal.aborted).toBe(true);
      if (reason) expect(bodies.map((body) => body.abortSignal.reason as unknown)).toEqual([reason, reason]);
    },
  );
});
