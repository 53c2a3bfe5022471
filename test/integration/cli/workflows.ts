import { defineSignal, NonRetryableError, Workflow, type WorkflowContext } from '../../../src/index.js';

export const approved = defineSignal<{ by: string } | undefined>('approved');

class CardDeclined extends NonRetryableError {
  override readonly code = 'CARD_DECLINED' as never;
}

/** Waits for an approval, or fails when it charges the card. */
@Workflow({ name: 'order', retry: { maxAttempts: 1 } })
export class OrderWorkflow {
  async run(order: { card: 'good' | 'declined' }, ctx: WorkflowContext): Promise<string> {
    await ctx.step('reserve', () => 'reserved');
    await ctx.step('charge', () => {
      if (order.card === 'declined') throw new CardDeclined('insufficient funds');
      return 'charged';
    });
    const approval = await ctx.waitForSignal(approved);
    return ctx.step('ship', () => `shipped for ${approval?.by ?? 'nobody'}`);
  }
}
