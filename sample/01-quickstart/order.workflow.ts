import { NonRetryableError, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

import { InventoryService } from './inventory.service.js';
import { euros, type Order, type Receipt } from './order.js';
import { OutsideWorld } from './outside-world.js';
import { PaymentService } from './payment.service.js';

@Workflow({ name: 'order', version: 1 })
export class OrderWorkflow {
  constructor(
    private readonly payments: PaymentService,
    private readonly inventory: InventoryService,
    private readonly world: OutsideWorld,
  ) {}

  /**
   * Processes one order. When the run continues in another process, this method is executed again
   * from the top. Recorded steps then return their recorded results.
   */
  async run(order: Order, ctx: WorkflowContext): Promise<Receipt> {
    const total = await this.validate(order);
    const payment = await this.payments.charge(order.customer, total);
    await ctx.sleep('1s'); // or '3 days'
    await Promise.all(order.items.map((item) => this.inventory.reserve(item)));
    const tracking = await this.ship(order);
    return { orderId: order.id, payment, tracking };
  }

  @Step()
  async validate(order: Order): Promise<number> {
    const wrong = order.items.find(({ quantity, cents }) => quantity < 1 || cents < 1);
    if (wrong) throw new NonRetryableError(`order ${order.id}: ${wrong.sku} has no quantity or price`);
    const total = order.items.reduce((sum, { quantity, cents }) => sum + quantity * cents, 0);
    await this.world.request(`${order.items.length} items, ${euros(total)}`, 40);
    return total;
  }

  @Step()
  async ship(order: Order): Promise<string> {
    const tracking = `TRACK-${order.id}`;
    await this.world.request(`${tracking} to ${order.customer}`, 200);
    return tracking;
  }
}
