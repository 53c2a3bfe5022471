import { setTimeout as pause } from 'node:timers/promises';

import { Injectable } from '@nestjs/common';
import { currentStep, defineEvent, defineSignal, NonRetryableError, Schedule, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

/** An order of a customer. */
export interface Order {
  readonly customer: string;
  readonly items: readonly string[];
  readonly cents: number;
}

/** Decision of a person about an order. */
export interface Decision {
  readonly by: string;
  readonly isApproved: boolean;
}

export const decided = defineSignal<Decision>('decided');

/** Happens when an order has left. Starts a run that sends the receipt. */
const orderShipped = defineEvent<{ order: string; cents: number }>('order.shipped', { key: ({ order }) => order });

/** Returns an error that ends a step at once. The dashboard groups failures by its code. */
function refusal(code: string, message: string): NonRetryableError {
  return new NonRetryableError(message, { cause: Object.assign(new Error(message), { code }) });
}

/** Work takes a while, so that the timeline shows it. */
const work = (least: number, most = least * 2): Promise<void> => pause(least + Math.random() * (most - least));

@Injectable()
export class Payments {
  @Step({ retry: { maxAttempts: 5, initialInterval: '300ms' }, compensate: 'refund' })
  async charge(customer: string, cents: number): Promise<{ chargeId: string; cents: number }> {
    await work(60, 400);
    if (customer === 'mallory') throw refusal('CARD_DECLINED', 'the bank has declined the card');
    // The bank sometimes does not answer.
    if (currentStep().attempt === 1 && Math.random() < 0.4) throw new Error('the bank did not answer within 2 s');
    return { chargeId: `ch_${Math.random().toString(36).slice(2, 10)}`, cents };
  }

  async refund(charge: { chargeId: string } | undefined): Promise<void> {
    await work(80);
    if (charge === undefined) throw new Error('there is nothing to refund');
  }
}

/** Charges, asks a person about large orders, and packs all items at the same time. */
@Workflow({ name: 'order' })
export class OrderWorkflow {
  constructor(private readonly payments: Payments) {}

  async run(order: Order, ctx: WorkflowContext): Promise<{ parcel: string }> {
    await ctx.step('check stock', () => work(20, 120));
    const charge = await this.payments.charge(order.customer, order.cents);
    if (order.cents > 50_000) {
      const decision = await ctx.waitForSignal(decided, { timeout: '2 days' });
      if (!decision?.isApproved) throw new NonRetryableError('nobody has approved the order');
    }
    await Promise.all(order.items.map((item) => ctx.step('pack', { key: item }, () => work(100, 600))));
    await ctx.step('book carrier', async () => {
      await work(60, 200);
      // This throws after the payment, so the payment is refunded.
      if (order.items.includes('piano')) throw refusal('NO_CARRIER', 'no carrier takes a piano');
    });
    await ctx.sleep('1500ms');
    const shipped = await ctx.step('ship', async () => {
      await work(50, 150);
      return { parcel: `${charge.chargeId.slice(3).toUpperCase()}-DE` };
    });
    await ctx.emit(orderShipped, { order: ctx.runId, cents: charge.cents });
    return shipped;
  }
}

/** Sends the receipt of an order. */
@Workflow({ name: 'receipt', queue: 'mail', on: orderShipped })
export class ReceiptWorkflow {
  async run({ cents }: { order: string; cents: number }, ctx: WorkflowContext): Promise<string> {
    await ctx.step('send receipt', () => work(40));
    return `receipt for ${(cents / 100).toFixed(2)} euros`;
  }
}

/** Draws the pictures of one catalogue, each in a run of its own. */
@Workflow({ name: 'catalogue' })
export class CatalogueWorkflow {
  async run({ pages }: { pages: number }, ctx: WorkflowContext): Promise<string[]> {
    const numbers = await ctx.step('plan', async () => Array.from({ length: pages }, (_, page) => page + 1));
    return ctx.invokeMany(
      PictureWorkflow,
      numbers.map((page) => ({ page })),
      { maxInFlight: 3 },
    );
  }
}

@Workflow({ name: 'picture', queue: 'graphics' })
export class PictureWorkflow {
  async run({ page }: { page: number }, ctx: WorkflowContext): Promise<string> {
    await ctx.step('render', () => work(200, 900));
    return ctx.step('upload', async () => {
      await work(50, 200);
      return `pages/${page}.png`;
    });
  }
}

const WORDS = 'The order left the warehouse this morning and will arrive tomorrow. Do you need anything else?'.split(' ');

/** Answers a question word by word. The dashboard shows the stream as it grows. */
@Workflow({ name: 'assistant', queue: 'assistants' })
export class AssistantWorkflow {
  async run({ question }: { question: string }, ctx: WorkflowContext): Promise<string> {
    await ctx.step('look up', async () => {
      await work(300, 700);
      return { question, found: 3 };
    });
    return ctx.step('answer', async () => {
      const answer = currentStep().stream<string>('answer');
      for (const word of WORDS) {
        await pause(120);
        await answer.write(word);
      }
      return WORDS.join(' ');
    });
  }
}

/** Reminds a customer after some days. Most of these runs only wait. */
@Workflow({ name: 'reminder', queue: 'mail' })
export class ReminderWorkflow {
  async run({ days }: { days: number }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('thank', () => work(30));
    await ctx.sleep(days * 86_400_000);
    await ctx.step('remind', () => work(30));
  }
}

/** Reads a file of a partner whose server is often away. */
@Schedule({ cron: '0 6 * * *', timezone: 'Europe/Berlin', input: { file: 'prices.csv' } })
@Workflow({ name: 'import', queue: 'partners' })
export class ImportWorkflow {
  async run({ file }: { file: string }, ctx: WorkflowContext): Promise<number> {
    const lines = await ctx.step('download', { retry: { maxAttempts: 3, initialInterval: '500ms' } }, async () => {
      await work(100, 300);
      if (file.endsWith('.zip')) throw Object.assign(new Error('connect ETIMEDOUT 203.0.113.9:22'), { code: 'ETIMEDOUT' });
      return 1_200;
    });
    await ctx.step('parse', () => work(150, 500));
    return lines;
  }
}
