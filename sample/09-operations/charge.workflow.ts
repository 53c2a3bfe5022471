import { Injectable } from '@nestjs/common';
import { Step, Workflow, currentStep, type WorkflowContext } from 'nestjs-durable';

/** A card processor that refuses some currencies until an operator has fixed its configuration. */
@Injectable()
export class CardProcessor {
  readonly supported = new Set(['EUR']);

  charge(currency: string, cents: number, idempotencyKey: string): string {
    if (!this.supported.has(currency)) throw new Error(`the processor does not support ${currency}`);
    return `${cents} ${currency} charged (${idempotencyKey.length > 0 ? 'once' : 'unsafe'})`;
  }
}

@Workflow({ name: 'charge' })
export class ChargeWorkflow {
  constructor(private readonly processor: CardProcessor) {}

  async run(payment: { currency: string; cents: number }, _ctx: WorkflowContext): Promise<string> {
    return this.charge(payment.currency, payment.cents);
  }

  // Another attempt would get the same answer.
  @Step({ retry: { maxAttempts: 1 } })
  async charge(currency: string, cents: number): Promise<string> {
    return this.processor.charge(currency, cents, currentStep().idempotencyKey);
  }
}
