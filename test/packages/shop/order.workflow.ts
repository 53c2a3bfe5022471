import { Step, Workflow, type WorkflowContext } from 'nestjs-durable';

import { Order } from './order.entity.js';
import { PaymentService } from './payment.service.js';

export interface Receipt {
  payment: string;
  tracking: string;
}

@Workflow({ name: 'order', version: 1 })
export class OrderWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(order: Order, ctx: WorkflowContext): Promise<Receipt> {
    const payment = await this.payments.charge(order);
    await ctx.stream<string>('progress').write('charged');
    await ctx.sleep('50ms');
    return { payment, tracking: await this.ship(order) };
  }

  @Step()
  async ship(order: Order): Promise<string> {
    return `TRACK-${order.id}`;
  }
}
