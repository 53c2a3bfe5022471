import { Injectable } from '@nestjs/common';
import { defineSignal, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

export interface Order {
  id: number;
  cents: number;
}

export const approved = defineSignal<{ by: string }>('approved');

@Injectable()
export class PaymentService {
  @Step({ key: (order: Order) => String(order.id) })
  async charge(_order: Order): Promise<string> {
    throw new Error('no payments in tests');
  }
}

@Workflow({ name: 'order' })
export class OrderWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(order: Order, ctx: WorkflowContext): Promise<string> {
    if (order.cents > 100_000) {
      const approval = await ctx.waitForSignal(approved, { timeout: '2 days' });
      if (!approval) return 'refused';
    }
    const payment = await this.payments.charge(order);
    await ctx.sleep('3 days');
    return this.ship(payment);
  }

  @Step()
  async ship(payment: string): Promise<string> {
    return `shipped for ${payment}`;
  }
}
