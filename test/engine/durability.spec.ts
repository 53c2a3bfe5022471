import { describe, expect, it } from '@jest/globals';

import { StepFailedError } from '../../src/core/errors/index.js';
import type { Entry } from './memory-journal.js';
import { execute, rest, TestRun, type WorkflowFunction } from './harness.js';
import { delay, until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

const sequence =
  (count: number, body: () => unknown): WorkflowFunction =>
  async (ctx) => {
    for (let index = 1; index <= count; index++) await ctx.step(`s${index}`, body);
    return count;
  };

describe('flushes of a run', () => {
  it.each<[string, () => unknown]>([
    ['synchronous', () => 1],
    ['asynchronous', () => delay(5)],
  ])('a run of n %s steps costs n after its start: the last result and the end share one', async (_, body) => {
    for (const count of [1, 2, 5]) {
      const { run } = await execute(sequence(count, body));
      expect(run.journal.flushes).toHaveLength(count);
      expect(run.journal.flushes.at(-1)).toEqual([`step s${count}`, 'ended']);
    }
  });

  it('carry the end with the last result, however many microtasks the code needs', async () => {
    const { run } = await execute(async (ctx) => {
      await ctx.step('a', () => 1);
      for (let turns = 0; turns < 1_000; turns++) await Promise.resolve();
    });
    expect(run.journal.flushes).toEqual([['step a', 'ended']]);
  });

  it('carry a failed step together with the end of the run', async () => {
    const { run } = await execute((ctx) => ctx.step('a', { retry: { maxAttempts: 1 } }, () => Promise.reject(new Error('no'))));
    expect(run.journal.flushes).toEqual([['step a', 'ended']]);
  });

  it('cost one flush for a step that crashes after its result', async () => {
    const { run } = await execute(
      sequence(3, () => delay(1)),
      { crashes: (count) => count === 2 },
    );
    expect(run.bodies).toEqual(
      new Map([
        ['s1', 1],
        ['s2', 1],
        ['s3', 1],
      ]),
    );
  });

  it('carry the ends of two runs that end at the same moment with their last results', async () => {
    const runs = Array.from({ length: 3 }, () => new TestRun(sequence(2, () => delay(5))));
    for (const run of runs) {
      await run.end();
      expect(run.journal.flushes).toEqual([['step s1'], ['step s2', 'ended']]);
    }
  });
});

describe('the body of a step', () => {
  it('begins after the previous step of a sequence is durable', async () => {
    const run = new TestRun(sequence(2, () => 1));
    run.journal.stopped = true;
    await rest(run);
    expect(run.effects).toEqual(['s1']);
    expect(run.journal.waiting).toEqual(['step s1']);
    run.journal.go();
    await run.end();
    expect(run.effects).toEqual(['s1', 's2']);
  });

  it('begins after a result that it reads through a shared variable is durable', async () => {
    const read: string[] = [];
    const run: TestRun = new TestRun(
      async (ctx) => {
        const seen: string[] = [];
        const branch = (name: string, ms: number): Promise<unknown> => ctx.step(name, () => delay(ms)).then(() => seen.push(name));
        await Promise.all([
          branch('a', 10).then(() => ctx.step('c', () => read.push(...seen.filter((key) => !run.stored.has(key))))),
          branch('b', 15),
        ]);
      },
      { latency: () => 10 },
    );
    await run.end();
    expect(read).toEqual([]);
  });

  it('does not wait for steps that were called together with it', async () => {
    const run = new TestRun((ctx) => Promise.all([ctx.step('a', () => 1), ctx.step('b', () => 2)]));
    run.journal.stopped = true;
    await rest(run);
    expect(run.effects).toEqual(['a', 'b']);
    run.journal.go();
    await run.end();
  });

  it('begins after a sleep before it is durable', async () => {
    const run = new TestRun(async (ctx) => {
      await ctx.sleep(10);
      await ctx.step('a', () => 1);
    });
    await until(() => run.stored.waits.size > 0);
    run.journal.stopped = true;
    await until(() => run.journal.waiting.length > 0);
    await rest(run);
    expect(run.effects).toEqual([]);
    run.journal.go();
    await run.end();
  });

  it('begins its retry after everything seen is durable', async () => {
    const run = new TestRun(
      async (ctx) => {
        let tries = 0;
        await Promise.all([
          ctx.step('a', { retry: { initialInterval: 20 } }, () => {
            if (++tries === 1) throw new Error('once');
          }),
          ctx.step('b', () => delay(15)),
        ]);
      },
      { latency: () => 30 },
    );
    await run.end();
    expect(run.bodies.get('a')).toBe(2);
  });

  it('begins after what it has seen is durable, however long a flush takes', async () => {
    for (const latency of [0, 1, 7, 40]) {
      const { run, ending } = await execute(
        (ctx) =>
          Promise.all(
            [3, 5, 7, 11].map(async (ms, branch) => {
              for (let index = 0; index < 4; index++) await ctx.step(`s${branch}`, () => delay(ms));
              return ms;
            }),
          ),
        { latency: () => latency },
      );
      expect(ending).toMatchObject({ output: [3, 5, 7, 11] });
      expect(run.effects).toHaveLength(16);
    }
  });
});

/** Refuses the first result of a step. */
function refusing(stepKey: string): (entry: Entry) => Error | undefined {
  let left = 1;
  return (entry) =>
    entry.kind === 'step' && entry.step.stepKey === stepKey && left-- > 0 ? new RangeError('the database will not have it') : undefined;
}

describe('a patch that the code reaches while a transactional step commits', () => {
  it.each([1, 2, 3])('becomes durable before the waits that follow, so a crash at transition %i keeps the patch', async (point) => {
    const beside: WorkflowFunction = async (ctx) => {
      await delay(5);
      await (ctx.patched('new') ? ctx.sleep(100) : ctx.step('old', () => 1));
    };
    const run = new TestRun((ctx) => Promise.all([ctx.step('pay', { transactional: true }, () => 1), beside(ctx, undefined)]), {
      bare: true,
      commitMs: 20,
      crashes: (count) => count === point,
    });
    expect(await run.end()).toMatchObject({ status: 'completed' });
    expect(run.keys).toEqual(['pay', '$patch:new', 'sleep']);
    expect([...run.stored.waits]).toEqual([]);
  });
});

describe('a result that the database refuses', () => {
  it('becomes a failed step, and the code starts again without it', async () => {
    const { run, ending } = await execute(
      async (ctx) => {
        const a = await ctx.step('a', () => 'bad').catch((error: Error) => error);
        return [a instanceof Error && a.message, await ctx.step('b', () => 1)];
      },
      { refuses: refusing('a') },
    );
    expect(ending).toMatchObject({ status: 'completed', output: [expect.stringContaining('will not have it'), 1] });
    expect(run.bodies).toEqual(
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
    );
    expect(run.stored.history.steps).toMatchObject([{ stepKey: 'a', status: 'failed' }, { stepKey: 'b' }]);
  });

  it('is a StepFailedError for the code, like any other failed step', async () => {
    const { ending } = await execute(
      async (ctx) => {
        const error = await ctx.step('a', () => 'bad').catch((error: unknown) => error);
        await ctx.step('b', () => 1);
        return [error instanceof StepFailedError, StepFailedError.is(error, RangeError)];
      },
      { refuses: refusing('a') },
    );
    expect(ending).toMatchObject({ output: [true, true] });
  });

  it('becomes a failed step even when it was the last and the run has ended', async () => {
    const { run, ending } = await execute((ctx) => ctx.step('a', () => 'bad').catch(() => 'caught'), { refuses: refusing('a') });
    expect(run.stored.history.steps).toMatchObject([{ stepKey: 'a', status: 'failed' }]);
    expect(ending).toMatchObject({ status: 'completed', output: 'caught' });
  });

  it('leaves no open wait of its retries', async () => {
    let tries = 0;
    const { run } = await execute(
      async (ctx) => {
        await ctx.step('a', () => (++tries === 1 ? Promise.reject(new Error('once')) : 'bad')).catch(() => undefined);
        await ctx.step('b', () => 1);
      },
      { refuses: refusing('a') },
    );
    expect(run.stored.waits.size).toBe(0);
  });

  it('leaves no record of what the code did because of it', async () => {
    const run = new TestRun(
      async (ctx) => {
        const good = await ctx.step('a', () => 'bad').catch(() => undefined);
        if (good) await ctx.sleep(5);
        else await ctx.step('b', () => 1);
      },
      { refuses: refusing('a'), latency: () => 20 },
    );
    expect(await run.end()).toMatchObject({ status: 'completed' });
    expect(run.keys).toEqual(['a', 'b']);
  });

  it('does not affect a parallel step whose result is stored', async () => {
    const { run, ending } = await execute(
      (ctx) =>
        Promise.allSettled([ctx.step('a', () => delay(5)), ctx.step('b', () => delay(1)), ctx.step('c', () => delay(9))]).then((all) =>
          all.map((each) => each.status),
        ),
      { refuses: refusing('a') },
    );
    expect(ending).toMatchObject({ output: ['rejected', 'fulfilled', 'fulfilled'] });
    expect(run.bodies.get('b')).toBe(1);
  });
});

describe('a result that was stored by a newer version', () => {
  it('blocks the run for this deployment, and affects neither the process nor other runs', async () => {
    const workflow: WorkflowFunction = async (ctx) => [await ctx.step('a', () => 1), await ctx.step('b', () => 2)];
    const { run } = await execute(workflow);
    const [a, b] = run.stored.history.steps;
    const strange = new TestRun(workflow, { history: { steps: [{ ...a!, output: '{"$durable":"temporal"}' }, b!], waits: [] } });
    const neighbour = new TestRun(workflow);
    expect(await neighbour.end()).toEqual({ status: 'completed', output: [1, 2] });
    expect((await strange.end()).status).toBe('blocked');
  });
});
