import { Injectable } from '@nestjs/common';
import { currentStep, defineSignal, Step, StepsOf, Workflow, WorkflowContext } from 'nestjs-durable';

export const approved = defineSignal<string>('approved');

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

@Injectable()
@StepsOf('work')
export class WorkService {
  @Step({ key: (branch: string, part: number) => `${branch}${part}` })
  async work(branch: string, part: number): Promise<string> {
    const { idempotencyKey } = currentStep();
    await pause(Math.random() * 40);
    // Each body has a context of its own, also after a timer.
    if (currentStep().idempotencyKey !== idempotencyKey) throw new Error('another step is current');
    return `${branch}${part}`;
  }
}

@Workflow({ name: 'leaf' })
export class LeafWorkflow {
  constructor(private readonly service: WorkService) {}

  async run(order: number): Promise<string> {
    return `leaf ${await this.service.work('leaf', order)}`;
  }
}

/** Everything that depends on the runtime: turns, contexts, timers, signals and replay. */
@Workflow({ name: 'shop' })
export class ShopWorkflow {
  constructor(private readonly service: WorkService) {}

  async run(order: number, ctx: WorkflowContext): Promise<string> {
    const branches = await Promise.all(
      ['a', 'b', 'c'].map(async (branch) => {
        let done = '';
        for (let part = 0; part < 4; part++) done += await this.service.work(branch, part);
        return done;
      }),
    );
    await ctx.sleep('1s');
    const by = await ctx.waitForSignal(approved);
    const child = await ctx.invoke(LeafWorkflow, order);
    const { key } = await ctx.race({ quick: () => ctx.step('quick', async () => 'quick'), late: () => ctx.sleep('20s') });
    return [...branches, by, child, key, await this.finish(order)].join(' ');
  }

  @Step()
  async finish(order: number): Promise<string> {
    return `order ${order}`;
  }
}
