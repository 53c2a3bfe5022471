import { currentStep, defineSignal, Step, Workflow, type WorkflowContext } from '../../src/index.js';

export const go = defineSignal<{ text: string }>('go');

/**
 * Characters that need escapes in JSON, in SQL or in encodings of one byte, or that no encoding
 * has.
 */
export const HARD_TEXT = 'ü 漢字 😀 \\ \'"$$ \u0000 \ud800 x';

export const TAG = 'ü 漢字 😀';

/** Values that are no plain JSON. */
export const hardValue = (): Record<string, unknown> => ({
  text: HARD_TEXT,
  date: new Date('2020-02-29T12:00:00.123Z'),
  bigint: 2n ** 70n,
  bytes: new Uint8Array([0, 39, 92, 255]),
  map: new Map([['a', new Set([1, Number.NaN])]]),
  nothing: undefined,
});

@Workflow({ name: 'steps' })
export class StepsWorkflow {
  async run(input: Record<string, unknown>, ctx: WorkflowContext): Promise<unknown> {
    const [first, second] = await Promise.all([this.echo(input), ctx.step('漢字', () => 'named')]);
    await ctx.sleep(30);
    return { ...first, second };
  }

  @Step()
  async echo<T>(value: T): Promise<T> {
    return value;
  }
}

@Workflow({ name: 'waits' })
export class WaitsWorkflow {
  async run(token: string, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook<{ by: string }>({ token });
    const { key, value } = await ctx.race({
      hook: (signal) => hook.wait({ signal }),
      late: (signal) => ctx.sleep('1h', { signal }),
    });
    const { text } = await ctx.waitForSignal(go);
    return { key, value, text, timedOut: await ctx.waitForSignal(go, { timeout: 30 }) };
  }
}

@Workflow({ name: 'parent' })
export class ParentWorkflow {
  async run(count: number, ctx: WorkflowContext): Promise<unknown> {
    const one = (await ctx.invoke(StepsWorkflow, { n: 'one' })) as { n: string };
    const many = (await ctx.invokeMany(
      StepsWorkflow,
      Array.from({ length: count }, (_, n) => ({ n })),
    )) as { n: number }[];
    ctx.setState('children', many.length);
    return [one.n, ...many.map(({ n }) => n)];
  }
}

@Workflow({ name: 'counts' })
export class CountsWorkflow {
  async run(left: number, ctx: WorkflowContext): Promise<string> {
    if (left > 0) return ctx.continueAsNew(CountsWorkflow, left - 1);
    return ctx.step('end', () => 'counted');
  }
}

/** Ids of the runs whose step always fails. */
export const failing = new Set<string>();

@Workflow({ name: 'fails', retry: { initialInterval: 20, maxAttempts: 2 } })
export class FailsWorkflow {
  async run(_input: undefined, ctx: WorkflowContext): Promise<string> {
    return ctx.step('charge', () => {
      if (failing.has(ctx.runId)) throw Object.assign(new Error('declined'), { code: 'CARD' });
      if (currentStep().attempt === 1) throw new Error('once');
      return 'charged';
    });
  }
}

@Workflow({ name: 'ticks' })
export class TicksWorkflow {
  async run(count: number, ctx: WorkflowContext): Promise<number> {
    for (let tick = 0; tick < count; tick++) {
      await ctx.step('tick', () => tick);
      await ctx.sleep(20);
    }
    return count;
  }
}

export const workflows = [StepsWorkflow, WaitsWorkflow, ParentWorkflow, CountsWorkflow, FailsWorkflow, TicksWorkflow];
