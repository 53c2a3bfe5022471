import { Injectable } from '@nestjs/common';
import { currentStep, Step } from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { SCHEMA } from './database.js';
import { euros, type Payment } from './order.js';
import { OutsideWorld } from './outside-world.js';

@Injectable()
export class PaymentService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly world: OutsideWorld,
  ) {}

  @Step({ retry: { maxAttempts: 8 }, timeout: '30s' })
  async charge(customer: string, cents: number): Promise<Payment> {
    const id = await this.cardProcessor(currentStep().idempotencyKey, cents);
    await this.world.request(`${euros(cents)} from ${customer}, ${id}`, 400);
    return { id, cents };
  }

  /**
   * Charges a card once: like a real processor, it recognises a repeated request by its idempotency
   * key.
   */
  private async cardProcessor(idempotencyKey: string, cents: number): Promise<string> {
    const [payment] = await this.dataSource.query<{ id: string }[]>(
      `INSERT INTO ${SCHEMA}.card_processor (idempotency_key, cents) VALUES ($1, $2)
       ON CONFLICT (idempotency_key) DO UPDATE SET requests = card_processor.requests + 1
       RETURNING 'pay-' || left(md5(idempotency_key), 6) AS id`,
      [idempotencyKey, cents],
    );
    return payment!.id;
  }
}
