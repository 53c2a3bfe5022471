import { describe, expect, it } from '@jest/globals';

import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { TestRun, type RunOptions, type WorkflowFunction } from './harness.js';
import { delay, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/**
 * Cancels the run after `at` milliseconds. The effects list the bodies that began, with a bar
 * before those after the cancellation.
 */
async function cancelled(workflow: WorkflowFunction, { at = 250, ...options }: RunOptions & { at?: number } = {}): Promise<TestRun> {
  const run = new TestRun(workflow, { settings: { verifyReplay: undefined }, ...options });
  setTimeout(() => {
    run.effects.push('|');
    run.cancel();
  }, at);
  await run.end();
  expect(run.ending?.status).toBe('cancelled');
  return run;
}

const after = ({ effects }: TestRun): string[] => effects.slice(effects.indexOf('|') + 1);
const work = (ctx: WorkflowContext, name: string, key?: string): Promise<number> =>
  ctx.step(name, key === undefined ? {} : { key }, () => delay(100, 1));

describe('a loop whose catch swallows the cancellation', () => {
  const loops: [string, WorkflowFunction][] = [
    [
      'a loop over one step',
      async (ctx) => {
        for (let item = 0; item < 1_000; item++) await work(ctx, 'charge').catch(() => undefined);
      },
    ],
    [
      'a loop over one step with keys',
      async (ctx) => {
        for (let item = 0; item < 1_000; item++) await work(ctx, 'charge', String(item)).catch(() => undefined);
      },
    ],
    [
      'a loop over one step with numbers in its name',
      async (ctx) => {
        for (let item = 0; item < 1_000; item++) await work(ctx, `charge order-${item}`).catch(() => undefined);
      },
    ],
    [
      'a loop over chunks',
      async (ctx) => {
        for (let chunk = 0; chunk < 100; chunk++) await Promise.allSettled(Array.from({ length: 10 }, () => work(ctx, 'charge')));
      },
    ],
    [
      'a loop without an end',
      async (ctx) => {
        for (;;) await work(ctx, 'charge').catch(() => undefined);
      },
    ],
    [
      'a loop that sleeps and polls',
      async (ctx) => {
        for (;;) {
          try {
            await ctx.sleep(200);
            await work(ctx, 'poll');
          } catch {
            // On to the next.
          }
        }
      },
    ],
    [
      'a loop that does ordinary I/O during the cancellation',
      async (ctx) => {
        for (let item = 0; item < 1_000; item++) {
          try {
            await work(ctx, 'charge');
            await delay(1_000);
          } catch {
            // On to the next.
          }
        }
      },
    ],
  ];
  it.each(loops)('begins no further step after the cancellation: %s', async (_, workflow) => {
    expect(after(await cancelled(workflow))).toEqual([]);
  });

  it('begins only the steps of its next round that precede the interrupted step', async () => {
    const run = await cancelled(
      async (ctx) => {
        for (let item = 0; item < 100; item++) {
          try {
            await work(ctx, 'reserve');
            await work(ctx, 'charge');
          } catch {
            await work(ctx, 'release');
          }
        }
      },
      { at: 350 },
    );
    expect(after(run).filter((key) => !key.startsWith('release'))).toEqual(['reserve#3']);
  });

  it.each<[string, WorkflowFunction, string[]]>([
    [
      'in a helper that each round calls',
      async (ctx) => {
        const helper = async (item: number): Promise<void> => {
          try {
            await work(ctx, 'charge', String(item));
            await work(ctx, 'ship', String(item));
          } catch {
            await work(ctx, 'note', String(item));
          }
        };
        for (let item = 0; item < 100; item++) await helper(item);
      },
      ['note:1'],
    ],
    [
      'in a loop without an end',
      async (ctx) => {
        for (;;) {
          try {
            await work(ctx, 'poll');
            await ctx.sleep('1s');
          } catch {
            await work(ctx, 'back off');
          }
        }
      },
      ['back off', 'poll#2'],
    ],
  ])('cleans up once: %s', async (_, workflow, expected) => {
    expect(after(await cancelled(workflow))).toEqual(expected);
  });

  it('ends with the same steps wherever the process crashes', async () => {
    for (const [, workflow] of loops.slice(0, 4)) {
      const calm = await cancelled(workflow);
      for (let point = 1; point < calm.journal.flushes.flat().length; point++) {
        const crashed = await cancelled(workflow, { crashes: (count) => count === point });
        expect(crashed.keys.filter((key) => !calm.keys.includes(key))).toEqual([]);
      }
    }
  });

  it('is reported by one warning', async () => {
    const named: WorkflowFunction = async (ctx) => {
      for (;;) await work(ctx, 'warned of').catch(() => undefined);
    };
    expect((await cancelled(named)).warnings).toEqual([
      expect.stringContaining('"warned of" was called again after the run was cancelled'),
    ]);
    expect((await cancelled(named)).warnings).toEqual([]);
  });
});

describe('the cleanup of a cancelled run', () => {
  const cleanUps: [string, WorkflowFunction, string[]][] = [
    [
      'steps in catch and finally',
      async (ctx) => {
        try {
          await work(ctx, 'charge');
          await work(ctx, 'ship');
          await work(ctx, 'mail');
        } catch (error) {
          await work(ctx, 'refund');
          throw error;
        } finally {
          await work(ctx, 'release');
        }
      },
      ['refund', 'release'],
    ],
    [
      'a loop over completed steps',
      async (ctx) => {
        const done: number[] = [];
        try {
          for (let item = 0; item < 10; item++) done.push(await work(ctx, 'reserve'));
        } finally {
          for (const _ of done) await work(ctx, 'release');
        }
      },
      ['release', 'release#2'],
    ],
    [
      'a step that was called before and was not interrupted',
      async (ctx) => {
        await work(ctx, 'set status');
        try {
          await work(ctx, 'charge');
          await work(ctx, 'ship');
        } finally {
          await work(ctx, 'set status');
        }
      },
      ['set status#2'],
    ],
    [
      'the cleanup of each item of a loop that ends with the cancellation',
      async (ctx) => {
        for (let item = 0; item < 10; item++) {
          try {
            await work(ctx, 'charge');
            if (item === 0) throw new Error('of the first');
          } catch (error) {
            await work(ctx, 'release');
            if (ctx.abortSignal.aborted) throw error;
          }
        }
      },
      ['release#2'],
    ],
    [
      'steps after a loop whose catch swallows the cancellation',
      async (ctx) => {
        for (let item = 0; item < 10; item++) await work(ctx, 'charge').catch(() => undefined);
        await work(ctx, 'close the books');
      },
      ['close the books'],
    ],
    [
      'a wait',
      async (ctx) => {
        try {
          await ctx.sleep('1h');
        } finally {
          await ctx.sleep(10);
          await work(ctx, 'release');
        }
      },
      ['release'],
    ],
  ];
  it.each(cleanUps)('begins its steps: %s', async (_, workflow, expected) => {
    expect(after(await cancelled(workflow))).toEqual(expected);
  });
});
