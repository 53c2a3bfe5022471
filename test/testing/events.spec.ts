import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineEvent, Workflow, WorkflowModule, workflowRef, type EventOf, type WorkflowContext } from '../../src/index.js';
import { WorkflowTest } from '../../src/testing/index.js';

const paid = defineEvent<{ orderId: string; cents: number }>('paid', { key: ({ orderId }) => orderId });

@Workflow({ name: 'order' })
class Order {
  async run(orderId: string, ctx: WorkflowContext): Promise<number | null> {
    return (await ctx.waitForEvent(paid, { key: orderId, timeout: '3 days' }))?.cents ?? null;
  }
}

@Workflow({ name: 'receipt', on: paid })
class Receipt {
  async run({ orderId }: EventOf<typeof paid>, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep('1 hour');
    return `receipt of ${orderId}`;
  }
}

@Workflow({ name: 'reminder' })
class Reminder {
  async run(orderId: string, ctx: WorkflowContext): Promise<string> {
    const first = await ctx.race({
      paid: () => ctx.waitForEvent(paid, { key: orderId }),
      late: () => ctx.sleep('2 days'),
    });
    return first.key === 'paid' ? `paid ${first.value.cents}` : 'reminded';
  }
}

describe('events under the clock of a test', () => {
  let test: WorkflowTest;
  beforeAll(async () => {
    const builder = Test.createTestingModule({ imports: [WorkflowModule.forRoot({})], providers: [Order, Receipt, Reminder] });
    test = await WorkflowTest.create(builder);
  });
  afterAll(() => test?.close());

  it('resume and start runs before the test is idle', async () => {
    const order = await test.client.start(Order, 'a');
    await test.runUntilIdle();
    await test.client.emit(paid, { orderId: 'a', cents: 900 }, { id: 'a-paid' });
    await test.runUntilIdle();
    expect(await order.status()).toBe('completed');
    expect(await order.result()).toBe(900);
    const receipt = test.client.getHandle(workflowRef<unknown, string>('receipt'), 'receipt:paid:a-paid');
    expect(await receipt.status()).toBe('waiting');
    await test.advance('1 hour');
    expect(await receipt.result()).toBe('receipt of a');
  });

  it('leave a wait empty-handed when the time passes first', async () => {
    const order = await test.client.start(Order, 'b');
    await test.advance('2 days');
    expect(await order.status()).toBe('waiting');
    await test.advance('1 day');
    expect(await order.result()).toBeNull();
    await test.client.emit(paid, { orderId: 'b', cents: 1 });
    await test.runUntilIdle();
    expect(await order.result()).toBeNull();
  });

  it('are no longer awaited by a cancelled run', async () => {
    const order = await test.client.start(Order, 'c');
    await test.runUntilIdle();
    await order.cancel();
    await test.runUntilIdle();
    expect(await order.status()).toBe('cancelled');
    await test.client.emit(paid, { orderId: 'c', cents: 1 }, { id: 'c-paid' });
    await test.runUntilIdle();
    expect(await order.status()).toBe('cancelled');
    expect((await test.client.events.list({ id: 'c-paid' })).events).toMatchObject([{ dispatchedAt: expect.any(Date) }]);
  });

  it('win or lose a race with a sleep', async () => {
    const winner = await test.client.start(Reminder, 'd');
    const loser = await test.client.start(Reminder, 'e');
    await test.advance('1 day');
    await test.client.emit(paid, { orderId: 'd', cents: 4 });
    await test.runUntilIdle();
    expect(await winner.status()).toBe('completed');
    expect(await loser.status()).toBe('waiting');
    await test.advance('1 day');
    expect([await winner.result(), await loser.result()]).toEqual(['paid 4', 'reminded']);
  });
});
