import { describe, expect, it } from '@jest/globals';

import { defineEvent, Workflow, type WorkflowContext } from '../../src/index.js';
import { happened, runInMemory } from '../../src/testing/index.js';

interface Paid {
  orderId: string;
  cents: number;
}
const paid = defineEvent<Paid>('paid', { key: ({ orderId }) => orderId });

@Workflow({ name: 'waits-for-payment' })
class WaitsForPayment {
  async run(orderId: string, ctx: WorkflowContext): Promise<(number | null)[]> {
    const first = await ctx.waitForEvent(paid, { key: orderId });
    await ctx.sleep('1 hour');
    const second = await ctx.waitForEvent(paid, { key: orderId, where: { cents: 7 } });
    const third = await ctx.waitForEvent(paid, { key: orderId, since: 'now', timeout: '1 day' });
    return [first.cents, second.cents, third?.cents ?? null];
  }
}

@Workflow({ name: 'pays-itself' })
class PaysItself {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    await ctx.emit(paid, { orderId: 'own', cents: 3 });
    return (await ctx.waitForEvent(paid, { key: 'own' })).cents;
  }
}

describe('events in memory', () => {
  it('resume the run at their time, by key and condition, each once', async () => {
    const { output } = await runInMemory(WaitsForPayment, 'a', {
      events: [
        happened(paid, { orderId: 'b', cents: 1 }),
        happened(paid, { orderId: 'a', cents: 2 }),
        happened(paid, { orderId: 'a', cents: 3 }, { after: '10m' }),
        happened(paid, { orderId: 'a', cents: 7 }, { after: '30m' }),
      ],
    });
    expect(output).toEqual([2, 7, null]);
  });

  it('reach the run that emits them', async () => {
    expect((await runInMemory(PaysItself)).output).toBe(3);
  });

  it('that never happen fail the test with their name', async () => {
    await expect(runInMemory(WaitsForPayment, 'a')).rejects.toThrow('event "paid"');
  });
});
