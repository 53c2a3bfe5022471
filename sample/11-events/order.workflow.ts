import { Injectable } from '@nestjs/common';
import { defineEvent, Workflow, type EventOf, type WorkflowContext } from 'nestjs-durable';

export const orderPaid = defineEvent<{ orderId: string; cents: number }>('order.paid', { key: (event) => event.orderId });

@Injectable()
@Workflow({ name: 'order' })
export class OrderWorkflow {
  async run(order: { id: string; cents: number }, ctx: WorkflowContext): Promise<string> {
    const paid = await ctx.waitForEvent(orderPaid, { key: order.id, timeout: '3 days' });
    if (!paid) return `order ${order.id} was never paid`;
    await ctx.step('ship', () => console.log(`  shipping order ${order.id}`));
    return `order ${order.id}: shipped for ${paid.cents} cents`;
  }
}

@Injectable()
@Workflow({ name: 'receipt', on: orderPaid })
export class ReceiptWorkflow {
  async run(event: EventOf<typeof orderPaid>, ctx: WorkflowContext): Promise<string> {
    await ctx.step('mail', () => console.log(`  mailing the receipt of order ${event.orderId}`));
    return `receipt of order ${event.orderId}`;
  }
}
