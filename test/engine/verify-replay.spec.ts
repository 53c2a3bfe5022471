import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';

import { ReplayDifferenceError, WorkflowCancelledError } from '../../src/core/errors/index.js';
import { Payloads } from '../../src/core/payloads.js';
import { defineSignal } from '../../src/core/signal.js';
import { verifyReplay } from '../../src/engine/verify-replay.js';
import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { execute, TestRun, type Ending, type WorkflowFunction } from './harness.js';
import { check, crashingAt, LONG, play, sane } from './play.js';
import type { ProgramSpace } from './programs.js';
import { delay, rewind, settle, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

const settings = { verifyReplay };
const verified = (workflow: WorkflowFunction, options = {}): Promise<{ run: TestRun; ending: Ending }> =>
  execute(workflow, { settings, ...options });

const step = (ctx: WorkflowContext, name: string): Promise<string> => ctx.step(name, () => name);

/** Counter that a replay does not turn back, like a clock. */
const counter = (): (() => number) => {
  let count = 0;
  return () => ++count;
};

it('a run with too many bytes of results is not kept in memory for the replay check', async () => {
  const write = (results: number): WorkflowFunction => {
    return async (ctx) => {
      let written = 0;
      for (let index = 0; index < results; index++) {
        await ctx.step('write', () => {
          written++;
          return 'x'.repeat(900_000);
        });
      }
      return written;
    };
  };
  expect((await verified(write(2))).ending).toMatchObject({ status: 'failed', error: { name: 'ReplayDifferenceError' } });
  expect((await verified(write(10))).ending).toEqual({ status: 'completed', output: 10 });
});

it('a run whose output the codec cannot read back passes the replay check', async () => {
  const payloads = new Payloads(1_000_000, undefined);
  const write = counter();
  payloads.encode = () => `"${write()}"`;
  const { decode } = payloads;
  payloads.decode = (stored, subject) => {
    if (subject === 'output') throw new Error('wrong key');
    return decode.call(payloads, stored, subject);
  };
  const { ending } = await verified(async () => 'done', { settings: { ...settings, payloads } });
  expect(ending).toEqual({ status: 'completed', output: '1' });
});

describe('the replay check at the end of a run', () => {
  const cases: [string, () => WorkflowFunction, string | null][] = [
    [
      'a variable that the function of a step writes, in the output',
      () => async (ctx) => {
        let id: number | undefined;
        await ctx.step('create', () => void (id = 7));
        return { id };
      },
      null,
    ],
    [
      'a variable that decides which step is called',
      () => async (ctx) => {
        let ok = false;
        await ctx.step('ask', () => void (ok = true));
        return ok ? step(ctx, 'yes') : step(ctx, 'no');
      },
      'no',
    ],
    [
      'a variable that decides how often a step is called',
      () => async (ctx) => {
        const items: number[] = [];
        await ctx.step('load', () => void items.push(1, 2));
        for (const _ of items) await step(ctx, 'each');
      },
      'each',
    ],
    [
      'a field of a captured object',
      () => async (ctx) => {
        const order: { id?: number } = {};
        await ctx.step('create', () => void (order.id = 7));
        await ctx.step(`charge ${order.id}`, () => 1);
      },
      'charge undefined',
    ],
    [
      'a step that is called by chance',
      () => {
        const count = counter();
        return async (ctx) => {
          await step(ctx, 'a');
          if (count() === 1) await step(ctx, 'b');
        };
      },
      'b',
    ],
    [
      'the name of a step by the time',
      () => {
        const count = counter();
        return (ctx) => step(ctx, `at ${count()}`);
      },
      'at 2',
    ],
    [
      'another time in the output',
      () => {
        const count = counter();
        return async (ctx) => [await step(ctx, 'a'), count()];
      },
      null,
    ],
    [
      'a failure that a replay does not have',
      () => {
        const count = counter();
        return async (ctx) => {
          await step(ctx, 'a');
          if (count() === 1) throw new Error('the first time');
        };
      },
      null,
    ],
  ];
  cases.push([
    'a step that a branch nobody awaits calls',
    () => {
      const count = counter();
      return async (ctx) => {
        if (count() === 1) void step(ctx, 'audit');
        return step(ctx, 'a');
      };
    },
    'audit',
  ]);
  cases.push([
    'a promise that the function of a step resolves',
    () => async (ctx) => {
      let resolve = (): void => undefined;
      const open = new Promise<void>((done) => void (resolve = done));
      await ctx.step('opens', () => resolve());
      await open;
    },
    null,
  ]);
  it.each(cases)('finds %s', async (_, make, place) => {
    const { run, ending } = await verified(make());
    expect(ending.status).toBe('failed');
    const { error } = ending as { error: Error };
    expect(error).toBeInstanceOf(ReplayDifferenceError);
    expect(error).toMatchObject({ runId: 'run-1', stepKey: place, code: 'REPLAY_DIFFERENCE' });
    expect(error.message).toContain('Math.random()');
    // Nothing was executed twice.
    for (const count of run.bodies.values()) expect(count).toBe(1);
  });
});

describe('a run without a provable difference', () => {
  const signal = defineSignal<string>('go');
  const all: [string, WorkflowFunction][] = [
    ['without any step', () => 1],
    [
      'of parallel branches',
      (ctx) => Promise.all([step(ctx, 'a'), ctx.step('b', () => delay(5)), step(ctx, 'c').then(() => step(ctx, 'd'))]),
    ],
    ['of time and chance from the context', async (ctx) => [await step(ctx, 'a'), ctx.now().getTime(), ctx.random(), ctx.uuid()]],
    ['of a race', (ctx) => ctx.race({ a: () => ctx.step('slow', () => delay(50)), b: () => step(ctx, 'b') })],
    ['of a race of promises', (ctx) => Promise.race([ctx.sleep(1_000), step(ctx, 'b')])],
    ['of a step that nobody awaits', async (ctx) => (void ctx.step('slow', () => delay(50)), await step(ctx, 'a'))],
    ['of a failed step', (ctx) => ctx.step('a', { retry: { maxAttempts: 1 } }, () => Promise.reject(new Error('no')))],
    ['of a failure', async (ctx) => (await step(ctx, 'a'), JSON.parse('no'))],
    ['of a patch', async (ctx) => [ctx.patched('x'), await step(ctx, 'a'), ctx.patched('y'), await ctx.sleep(10), ctx.patched('z')]],
    ['of withdrawn waits', async (ctx) => (await ctx.waitForSignal(signal, { timeout: 10 }), await step(ctx, 'a'))],
    ['of an output with rich values', async (ctx) => [new Date(1), new Map([[1, new Set([1n])]]), await step(ctx, 'a')]],
    ['of I/O before the end', async (ctx) => (await step(ctx, 'a'), await delay(20), Date.now())],
    ['of I/O between steps', async (ctx) => (await step(ctx, 'a'), await delay(20), await step(ctx, `b ${Date.now()}`))],
    ['of I/O beside a step', async (ctx) => (await Promise.all([delay(3), ctx.step('a', () => delay(50))]), await step(ctx, 'b'))],
    ['of I/O that is slower than what is recorded', async (ctx) => void (await Promise.all([delay(30), ctx.step('a', () => delay(50))]))],
  ];
  it.each(all)('passes the replay check: %s', async (_, workflow) => {
    const plain = await execute(workflow);
    rewind();
    const { run, ending } = await verified(workflow);
    expect(comparable(ending)).toEqual(comparable(plain.ending));
    expect(run.keys).toEqual(plain.run.keys);
    expect(run.passes).toBe(1);
  });

  it('passes the replay check after a suspension and a patch', async () => {
    const { ending } = await verified(async (ctx) => [ctx.patched('x'), await ctx.sleep(1_000), ctx.patched('y')], { suspends: true });
    expect(ending).toEqual({ status: 'completed', output: [true, undefined, true] });
  });

  it('passes the replay check after a cancellation', async () => {
    const run = new TestRun(
      async (ctx) => {
        try {
          await ctx.sleep(1_000);
        } finally {
          await step(ctx, 'clean up');
        }
      },
      { settings },
    );
    await settle();
    run.cancel();
    expect(await run.end()).toMatchObject({ status: 'cancelled', error: expect.any(WorkflowCancelledError) });
  });

  it('passes the replay check after signals', async () => {
    const run = new TestRun(async (ctx) => [await ctx.waitForSignal(signal), await ctx.waitForSignal(signal), await step(ctx, 'a')], {
      settings,
    });
    run.send('signal:go', 'x');
    run.send('signal:go', 'y');
    run.send('signal:go', 'too much');
    expect(await run.end()).toEqual({ status: 'completed', output: ['x', 'y', 'a'] });
  });
});

describe('the replay check of a run that has ended', () => {
  it('lets the next process record the end when this process dies', async () => {
    const { run, ending } = await verified((ctx) => step(ctx, 'a'), { crashes: (count: number) => count === 1 });
    expect(ending).toEqual({ status: 'completed', output: 'a' });
    expect(run.passes).toBeGreaterThan(1);
  });

  it('records no end when the pass is closed meanwhile', async () => {
    let replays = 0;
    const run = new TestRun(() => 1, {
      settings: {
        verifyReplay: async () => {
          replays++;
          run.letGo();
          return undefined;
        },
      },
    });
    await settle();
    expect(replays).toBe(1);
    expect(run.ending).toBeUndefined();
  });
});

describe('a step that is open when run() ends', () => {
  it('causes one warning in development', async () => {
    const workflow: WorkflowFunction = async (ctx) => {
      void ctx.step('audit', () => delay(50));
      // oxlint-disable-next-line typescript/no-misused-promises -- the mistake that it is about
      [1, 2, 3, 4].forEach(async (item) => {
        await ctx.step('send', () => delay(50));
        await ctx.step(`sent ${item}`, () => 1);
      });
      return 1;
    };
    const { run, ending } = await execute(workflow);
    expect(ending).toEqual({ status: 'completed', output: 1 });
    expect(run.warnings).toEqual([expect.stringContaining('steps "audit", "send", "send#2" and 2 more')]);
    expect((await execute(workflow)).run.warnings).toEqual([]);
  });

  it('causes no warning for waits, losers of ctx.race, cancelled runs and in production', async () => {
    const quiet: WorkflowFunction[] = [
      (ctx) => Promise.race([ctx.sleep(1_000), step(ctx, 'a')]),
      (ctx) => ctx.race({ a: () => ctx.step('slow in a race', () => delay(50)), b: () => step(ctx, 'b') }),
    ];
    for (const workflow of quiet) expect((await execute(workflow)).run.warnings).toEqual([]);
    const workflow: WorkflowFunction = async (ctx) => void ctx.step('in production', () => delay(50));
    expect((await execute(workflow, { settings: { isDevelopment: false } })).run.warnings).toEqual([]);
  });
});

describe('a step that is called after run() has ended', () => {
  /** Helper that no code awaits: ordinary I/O, then a step. Its call is noted. */
  const forgetful = (name: string, calls: string[]): WorkflowFunction => {
    return async (ctx) => {
      void delay(50).then(() => {
        calls.push(name);
        return ctx.step(name, () => calls.push('body'));
      });
      return 1;
    };
  };
  async function afterTheCall(run: TestRun, calls: string[]): Promise<string[]> {
    await until(() => calls.length > 0);
    await settle();
    expect(calls).not.toContain('body');
    return run.warnings;
  }

  it('does not begin, and causes one warning in development', async () => {
    const calls: string[] = [];
    const { run, ending } = await execute(forgetful('late audit', calls));
    expect(ending).toEqual({ status: 'completed', output: 1 });
    expect(await afterTheCall(run, calls)).toEqual([expect.stringContaining('"late audit" was called after run() had ended')]);
    const again: string[] = [];
    const second = await execute(forgetful('late audit', again));
    expect(await afterTheCall(second.run, again)).toEqual([]);
  });

  it('causes no warning for cancelled runs and in production', async () => {
    const calls: string[] = [];
    const { run } = await execute(forgetful('late in production', calls), { settings: { isDevelopment: false } });
    expect(await afterTheCall(run, calls)).toEqual([]);
    const late: string[] = [];
    const stopped = new TestRun(async (ctx) => {
      void forgetful('late when cancelled', late)(ctx, undefined);
      await ctx.sleep(10);
    });
    stopped.cancel();
    expect(await stopped.end()).toMatchObject({ status: 'cancelled' });
    expect(await afterTheCall(stopped, late)).toEqual([]);
  });
});

describe('any program', () => {
  it.each<[string, ProgramSpace]>([
    ['without I/O, in parallel branches', { io: false, together: true }],
    ['with I/O, in sequence', { io: true, together: false }],
    ['with I/O, in parallel branches', { io: true, together: true }],
  ])(
    '%s, ends as it does without the replay check',
    async (_, space) => {
      const own = { replayStallMs: 2 ** 40, cancelGraceMs: 2 ** 40, ...settings };
      await check(space, async (program, [first, second, cancelAt]) => {
        const calm = await play(program);
        const replayed = await play(program, { settings: own });
        sane(replayed);
        expect(replayed.summary).toEqual(calm.summary);
        if (space.io) return;
        expect((await play(program, { settings: own, crashes: crashingAt(first!, second!) })).summary).toEqual(calm.summary);
        expect((await play(program, { settings: own, suspends: true })).summary).toEqual(calm.summary);
        const plan = { cancelAt: cancelAt! * 1_000_000 + 1 };
        expect((await play(program, { ...plan, settings: own })).summary).toEqual((await play(program, plan)).summary);
      });
    },
    LONG,
  );
});

function comparable(ending: Ending): unknown {
  return ending.status === 'completed' ? ending : [ending.status, ending.error.name, ending.error.message];
}
