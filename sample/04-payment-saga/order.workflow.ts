import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { currentManager, currentStep, NonRetryableError, Step, Workflow, type WorkflowContext } from 'nestjs-durable';
import { Repository } from 'typeorm';

import { Bank, type Charge } from './bank.js';
import { Reservation } from './reservation.entity.js';

export interface Order {
  number: number;
  cents: number;
  /** Carriers to try, in this order. */
  carriers: string[];
}

@Injectable()
export class Warehouse {
  readonly closed = new Set<string>();

  constructor(@InjectRepository(Reservation) private readonly reservations: Repository<Reservation>) {}

  // Transactional: the row and the record of the step are one commit.
  @Step({ transactional: true, compensate: 'release' })
  async reserve(order: Order): Promise<void> {
    await currentManager().insert(Reservation, { orderNumber: order.number });
    console.log(`  order ${order.number}: reserved`);
  }

  // The output of a step without a result is undefined. Its arguments follow. A compensation may be
  // executed twice, and a second delete has no effect.
  async release(_: undefined, order: Order): Promise<void> {
    await this.reservations.delete({ orderNumber: order.number });
    console.log(`  order ${order.number}: released`);
  }

  @Step({ compensate: 'unbook' })
  async book(order: Order, carrier: string): Promise<string> {
    console.log(`  order ${order.number}: booked ${carrier}`);
    return `${carrier}-${order.number}`;
  }

  async unbook(booking: string): Promise<void> {
    console.log(`  booking ${booking}: cancelled`);
  }

  @Step({ retry: { maxAttempts: 3, initialInterval: '1 minute' } })
  async handOver(order: Order, carrier: string): Promise<string> {
    if (this.closed.has(carrier)) throw new NonRetryableError(`${carrier} takes no parcels today`);
    return `order ${order.number} went with ${carrier}`;
  }
}

@Workflow({ name: 'order' })
export class OrderWorkflow {
  constructor(
    private readonly warehouse: Warehouse,
    private readonly bank: Bank,
  ) {}

  async run(order: Order, ctx: WorkflowContext): Promise<string> {
    await this.warehouse.reserve(order);
    await this.charge(order);
    for (const carrier of order.carriers) {
      try {
        // A saga that fails undoes its own steps, here the booking. The charge stays.
        return await ctx.saga(async () => {
          await this.warehouse.book(order, carrier);
          return this.warehouse.handOver(order, carrier);
        });
      } catch (error) {
        // A cancelled run must end. Any other error leads to the next carrier.
        if (ctx.abortSignal.aborted) throw error;
      }
    }
    // The run fails: its charge is refunded, and then the goods are released.
    throw new NonRetryableError('no carrier takes the parcel');
  }

  @Step({ compensate: 'refund' })
  async charge(order: Order): Promise<Charge> {
    return this.bank.charge(order.cents, currentStep().idempotencyKey);
  }

  @Step({ retry: { maxAttempts: 2, initialInterval: 100 } })
  async refund(charge: Charge, _order: Order): Promise<void> {
    await this.bank.refund(charge, currentStep().idempotencyKey);
  }
}
