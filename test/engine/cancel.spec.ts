import { describe, expect, it, jest } from '@jest/globals';

import { WorkflowCancelledError } from '../../src/core/errors/index.js';
import { currentStep } from '../../src/engine/current.js';
import { execute, rest, TestRun, type RunOptions, type WorkflowFunction } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/** Executes a workflow and cancels it after so many milliseconds. */
async function cancelledAfter(ms: number, workflow: WorkflowFunction, options?: RunOptions): Promise<TestRun> {
  const run = new TestRun(workflow, options);
  setTimeout(() => run.cancel('why not'), ms);
  await run.end();
  return run;
}

const tidy: WorkflowFunction = async (ctx) => {
  const log: string[] = [];
  try {
    log.push(await ctx.step('a', () => 'a'));
    await Promise.all([
      ctx.sleep('1h'),
      ctx.step('slow', () => delay(3_600_000)),
      ctx.step('flaky', { retry: { initialInterval: '1h' } }, () => Promise.reject(new Error('once'))),
    ]);
  } catch (error) {
    log.push(`${(error as Error).name} ${(error as WorkflowCancelledError).reason}`);
    await ctx.step('undo', () => log.push('undo'));
  } finally {
    await ctx.sleep(5);
    await ctx.step('tidy', () => log.push('tidy'));
  }
  return log;
};

describe('a cancelled run', () => {
  it('rejects its open steps and waits with WorkflowCancelledError, and may run steps in catch and finally', async () => {
    const run = await cancelledAfter(100, tidy);
    expect(run.ending).toMatchObject({ status: 'cancelled', error: { name: 'WorkflowCancelledError', reason: 'why not', runId: 'run-1' } });
    expect(run.keys).toEqual(['a', '$cancel', 'undo', 'sleep#2', 'tidy']);
    expect(run.effects).toEqual(['a', 'slow', 'flaky', 'undo', 'tidy']);
  });

  it('rejects each of several open calls', async () => {
    const seen: unknown[] = [];
    await cancelledAfter(10, async (ctx) => {
      const settled = await Promise.allSettled([ctx.sleep('1h'), ctx.sleep('2h'), ctx.step('a', () => delay(1_000))]);
      seen.push(...settled.map((each) => each.status === 'rejected' && each.reason instanceof WorkflowCancelledError));
    });
    expect(seen).toEqual([true, true, true]);
  });

  it('ends cancelled even if its code swallows the error', async () => {
    const run = await cancelledAfter(10, async (ctx) => {
      await ctx.sleep('1h').catch(() => undefined);
      return 'as if nothing had happened';
    });
    expect(run.ending?.status).toBe('cancelled');
  });

  it('ends cancelled when its code throws another error', async () => {
    const run = await cancelledAfter(10, (ctx) => ctx.sleep('1h').catch(() => JSON.parse('no')));
    expect(run.ending?.status).toBe('cancelled');
  });

  it('aborts the bodies of its open steps and drops their results', async () => {
    const signals: AbortSignal[] = [];
    let late = false;
    const run = await cancelledAfter(10, async (ctx) => {
      signals.push(ctx.abortSignal);
      await ctx
        .step('a', async () => {
          signals.push(currentStep().abortSignal);
          await delay(100);
          late = true;
        })
        .catch(() => undefined);
      await ctx.sleep(200);
    });
    expect(late).toBe(true);
    expect(signals.map((signal) => signal.reason instanceof WorkflowCancelledError)).toEqual([true, true]);
    expect(run.keys).toEqual(['$cancel', 'sleep']);
  });

  it('gives steps that begin after the cancellation a signal that is not aborted', async () => {
    let aborted: boolean | undefined;
    await cancelledAfter(10, async (ctx) => {
      try {
        await ctx.sleep('1h');
      } finally {
        await ctx.step('tidy', async () => {
          await delay(5);
          aborted = currentStep().abortSignal.aborted;
        });
      }
    });
    expect(aborted).toBe(false);
  });

  it('may run for the cleanup time, and no longer', async () => {
    const begun = Date.now();
    const forever: WorkflowFunction = async (ctx) => {
      for (;;) await ctx.sleep('10s').catch(() => undefined);
    };
    const run = await cancelledAfter(10, forever, { settings: { cancelGraceMs: 25_000 } });
    expect(run.ending?.status).toBe('cancelled');
    expect(Date.now() - begun).toBe(25_010);
    expect(run.keys).toEqual(['$cancel', 'sleep#2', 'sleep#3']);
  });

  it('gets no extra cleanup time when it is suspended meanwhile', async () => {
    const begun = Date.now();
    const forever: WorkflowFunction = async (ctx) => {
      for (;;) await ctx.sleep('10s').catch(() => undefined);
    };
    const run = await cancelledAfter(10, forever, { settings: { cancelGraceMs: 25_000 }, suspends: true });
    expect(run.ending?.status).toBe('cancelled');
    expect(run.passes).toBeGreaterThan(3);
    expect(Date.now() - begun).toBeLessThan(25_100);
    expect(run.keys).toEqual(['$cancel', 'sleep#2', 'sleep#3']);
  });

  it('is not idle while it does ordinary I/O: a suspension would prevent its cleanup', async () => {
    const workflow: WorkflowFunction = async (ctx) => {
      try {
        await ctx.sleep('1h');
      } finally {
        await delay(5_000);
        await ctx.step('tidy', () => undefined);
      }
    };
    const run = await cancelledAfter(10, workflow);
    expect(run.keys).toEqual(['$cancel', 'tidy']);
    expect(run.idle.slice(run.idle.indexOf(null)).filter((wakeAt) => wakeAt !== null)).toEqual([]);
  });

  it('gets the cancellation at the same place in every pass', async () => {
    const run = await cancelledAfter(100, tidy);
    const total = run.journal.flushes.flat().length;
    expect((await execute(tidy, { history: run.stored.history })).ending).toEqual(run.ending);
    for (let crash = 1; crash < total; crash++) {
      const crashed = await cancelledAfter(100, tidy, { crashes: (count) => count === crash });
      expect(crashed.keys).toEqual(run.keys);
      expect(crashed.ending).toEqual(run.ending);
      expect(crashed.bodies.get('undo')).toBe(1);
      expect(crashed.bodies.get('tidy')).toBe(1);
    }
  });

  it('is cancelled once, even by repeated requests', async () => {
    const run = new TestRun(tidy);
    for (const ms of [50, 50, 51, 103]) setTimeout(() => run.cancel(String(ms)), ms);
    await run.end();
    expect(run.keys.filter((key) => key === '$cancel')).toHaveLength(1);
    expect(run.ending).toMatchObject({ error: { reason: '50' } });
  });

  it('rejects its first call when it is cancelled before its first turn', async () => {
    const run = new TestRun(async (ctx) => {
      await ctx.step('a', () => delay(10));
    });
    run.cancel();
    expect((await run.end()).status).toBe('cancelled');
    expect(run.keys).toEqual(['$cancel']);
  });

  it('completes when the cancellation arrives after its last result', async () => {
    const run = new TestRun((ctx) => ctx.step('a', () => 1));
    run.journal.stopped = true;
    await rest(run);
    run.cancel();
    run.journal.go();
    expect((await run.end()).status).toBe('completed');
  });

  it('gets the cancellation after a hold', async () => {
    const run = new TestRun(tidy);
    await until(() => run.idle.some((wakeAt) => wakeAt !== null) || run.stored.waits.size > 1);
    run.pass.hold();
    run.cancel();
    await until(() => run.keys.includes('$cancel'));
    expect(run.bodies.has('undo')).toBe(false);
    run.pass.resume();
    await run.end();
    expect(run.keys).toEqual(['a', '$cancel', 'undo', 'sleep#2', 'tidy']);
  });
});

describe('the cleanup time of a cancelled run', () => {
  /** Uses more than half of the cleanup time. */
  const cleaning: WorkflowFunction = async (ctx) => {
    try {
      await ctx.sleep('1h');
    } finally {
      await ctx.step('tidy', () => delay(17_000));
    }
  };
  const cancelled = async (workflow: WorkflowFunction, options?: RunOptions): Promise<TestRun> => {
    const run = new TestRun(workflow, options);
    setTimeout(() => run.cancel(), 10);
    await until(() => run.keys.includes('$cancel'));
    return run;
  };
  /** Lets time pass without firing timers, as for a frozen process or a run without an owner. */
  const lose = (ms: number): unknown => jest.setSystemTime(Date.now() + ms);

  it('does not pass while the run has no owner', async () => {
    const run = await cancelled(cleaning);
    await until(() => run.bodies.has('tidy'));
    await delayed(16_000);
    run.letGo();
    lose(3_600_000);
    run.begin();
    await run.end();
    expect(run.keys).toEqual(['$cancel', 'tidy']);
    expect(run.bodies.get('tidy')).toBe(2);
  });

  it('does not pass while the process is frozen', async () => {
    const run = await cancelled(cleaning);
    await until(() => run.bodies.has('tidy'));
    await delayed(10_000);
    lose(60_000);
    await run.end();
    expect(run.keys).toEqual(['$cancel', 'tidy']);
  });

  it.each([
    ['before any of it has begun', 0],
    ['in the middle of it', 10_000],
  ])('does not pass while the database takes nothing, %s', async (_, after) => {
    const run = new TestRun(async (ctx) => {
      try {
        await ctx.sleep('1h');
      } finally {
        await ctx.step('tidy', () => delay(17_000));
        await ctx.step('lock up', () => delay(1_000));
      }
    });
    setTimeout(() => run.cancel(), 10);
    setTimeout(() => (run.journal.stopped = true), 5 + after);
    setTimeout(() => run.journal.go(), 120_000);
    await run.end();
    expect(run.keys).toEqual(['$cancel', 'tidy', 'lock up']);
  });

  it('does not pass while the process does not know if it owns the run', async () => {
    let isSure = true;
    const run = new TestRun(cleaning, { settings: { isSure: () => isSure } });
    await until(() => run.stored.waits.size > 0);
    isSure = false;
    run.cancel();
    setTimeout(() => (isSure = true), 60_000);
    await run.end();
    expect(run.keys).toEqual(['$cancel', 'tidy']);
  });

  it('is the rest from before a suspension, however late the run is claimed again', async () => {
    const run = await cancelled(
      async (ctx) => {
        try {
          await ctx.sleep('1h');
        } finally {
          await ctx.sleep('10s');
          await ctx.step('tidy', () => delay(9_000));
          await ctx.sleep('5s');
          await ctx.step('lock up', () => delay(3_000));
          await ctx.sleep('1s');
          await ctx.step('too late', () => delay(3_000));
        }
      },
      { suspends: true },
    );
    while (!run.ending) {
      await until(() => run.isParked || run.ending !== undefined);
      if (run.isParked) lose(600_000);
      await until(() => !run.isParked);
    }
    await run.end();
    expect(run.keys).toEqual(['$cancel', 'sleep#2', 'tidy', 'sleep#3', 'lock up', 'sleep#4']);
    expect(run.bodies.get('too late')).toBe(1);
  });

  it('has passed when the run wakes from a longer wait', async () => {
    const begun = Date.now();
    const run = await cancelled((ctx) => ctx.sleep('1h').catch(() => ctx.sleep('2h')), { suspends: true });
    await run.end();
    expect(Date.now() - begun).toBeLessThan(30_100);
    expect(run.keys).toEqual(['$cancel']);
  });

  async function delayed(ms: number): Promise<void> {
    let isOver = false;
    setTimeout(() => (isOver = true), ms);
    await until(() => isOver);
  }
});
