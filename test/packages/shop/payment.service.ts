import { Injectable } from '@nestjs/common';
import { currentStep, NonRetryableError, Step } from 'nestjs-durable';

import { Order } from './order.entity.js';

@Injectable()
export class PaymentService {
  readonly keys: string[] = [];

  @Step({ retry: { maxAttempts: 2, initialInterval: 10 } })
  async charge(order: Order): Promise<string> {
    const { attempt, idempotencyKey } = currentStep();
    this.keys.push(idempotencyKey);
    if (order.cents < 0) throw new NonRetryableError('nothing to charge');
    if (attempt === 1) throw new Error('the card processor is busy');
    return `PAY-${order.id}`;
  }
}
