import { describe, expect, it } from '@jest/globals';

import type { NewRun } from '../../src/core/run.js';
import type { RunStarter } from '../../src/engine/run-starter.js';
import { TestRun, type WorkflowFunction } from './harness.js';
import { until, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/** Starts of runs that never end. */
const starts: RunStarter = {
  check: (workflow) => ({ name: String(workflow), withInput: async () => ({ id: 'child-1', name: String(workflow) }) as NewRun }),
  idFor: (runId, stepKey) => `${runId}:${stepKey}`,
};

class Child {
  readonly name = 'child';
  async run(): Promise<void> {}

  toString(): string {
    return this.name;
  }
}

const raced: WorkflowFunction = async (ctx) => {
  const { key } = await ctx.race({ child: () => ctx.invoke(new Child() as never), late: () => ctx.sleep('1h') });
  await ctx.sleep('1h');
  return key;
};

describe('a child run whose parent no longer waits', () => {
  it.each([['step sleep'], ['closeWait invoke:child'], ['wait sleep#2']])(
    'is cancelled by a parent that lost interest, even if the parent dies right after "%s"',
    async (last) => {
      const labels = (): string[] => run.journal.flushes.flat();
      const run: TestRun = new TestRun(raced, { settings: { starts }, crashes: (count) => labels()[count - 1] === last });
      expect(await run.end()).toMatchObject({ status: 'completed', output: 'late' });
      expect(new Set(run.cancelledChildren)).toEqual(new Set(last === 'closeWait invoke:child' ? [] : ['child-1']));
      expect(run.stored.waits.size).toBe(0);
    },
  );

  it.each([['step $cancel'], ['wait invoke:child']])('is cancelled by a cancelled parent that dies right after "%s"', async (last) => {
    const labels = (): string[] => run.journal.flushes.flat();
    const run: TestRun = new TestRun((ctx) => ctx.invoke(new Child() as never), {
      settings: { starts },
      crashes: (count) => labels()[count - 1] === last,
    });
    await until(() => run.stored.waits.size > 0);
    run.cancel();
    expect(await run.end()).toMatchObject({ status: 'cancelled' });
    expect(run.cancelledChildren).toEqual(['child-1']);
  });
});
