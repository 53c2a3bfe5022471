import { currentStep, defineEvent, defineSignal, NonRetryableError, Workflow, type WorkflowContext } from '../../src/index.js';

/** Signal that ends a run of `Checkout`. */
export const approved = defineSignal<{ by: string }>('approved');

/** Text that would run as code if a page did not escape it. Ids and tags may contain such text. */
export const MARKUP = '<img src=x onerror="window.hacked=1"> "quoted" & more';

/** Text that would run as code, hide, or turn the text around it, if a page did not escape it. */
export const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202Egnp.exe\u200B "quoted" & more';

/** Fails for large amounts, and else waits for a signal. Its code keeps a state and a stream. */
@Workflow({ name: 'checkout' })
export class Checkout {
  async run(input: { amount: number; note?: string }, ctx: WorkflowContext): Promise<unknown> {
    ctx.setState('stage', 'begun');
    await ctx.step('prepare', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => {
      if (currentStep().attempt === 1) throw new Error('the first attempt fails');
      return { note: input.note };
    });
    await Promise.all(['a', 'b'].map((key) => ctx.step('pack', { key }, () => key)));
    await ctx.step('charge', () => {
      if (input.amount > 100) throw Object.assign(new NonRetryableError(`declined ${input.note ?? ''}`), { code: 'DECLINED' });
    });
    await ctx.stream<string>('log').write(`charged ${input.note ?? ''}`);
    const { by } = await ctx.waitForSignal(approved);
    return { by, note: input.note };
  }
}

/** Starts one child and waits for it. */
@Workflow({ name: 'parent', queue: 'families' })
export class Parent {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.invoke(Checkout, { amount: 1 }, { id: `${ctx.runId}-child` });
  }
}

/** Fails outside a step. */
@Workflow({ name: 'broken' })
export class Broken {
  async run(): Promise<void> {
    throw Object.assign(new NonRetryableError('broken'), { code: 'BROKEN' });
  }
}

/** Event that starts a run of `Receipt`. */
export const paid = defineEvent<{ order: string }>('order.paid', { key: ({ order }) => order });

@Workflow({ name: 'receipt', on: paid })
export class Receipt {
  async run({ order }: { order: string }): Promise<string> {
    return `receipt of ${order}`;
  }
}
