import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from '@jest/globals';

import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { TestRun } from './harness.js';
import { useVirtualTime } from './virtual-time.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

useVirtualTime();

it('results of steps are released from memory when the code no longer uses them', async () => {
  const refs: WeakRef<object>[] = [];
  const use = async (ctx: WorkflowContext): Promise<void> => {
    refs.push(new WeakRef(await ctx.step('load', () => ({ rows: [1] }))));
  };
  let kept: number | undefined;
  const run = new TestRun(
    async (ctx) => {
      for (let round = 0; round < 20; round++) await use(ctx);
      await ctx.sleep(10);
      collectGarbage();
      kept = refs.filter((ref) => ref.deref() !== undefined).length;
    },
    { settings: { verifyReplay: undefined } },
  );
  expect(await run.end()).toMatchObject({ status: 'completed' });
  expect(refs).toHaveLength(20);
  // The last result may still be referenced.
  expect(kept).toBeLessThanOrEqual(1);
});
