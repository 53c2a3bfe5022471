import { Workflow, type WorkflowContext } from 'nestjs-durable';

let bodies = 0;

/** Number of bodies of Held runs that this process has begun. */
export function heldBodies(): number {
  return bodies;
}

/** Stays in the body of a step. */
@Workflow({ name: 'held' })
export class Held {
  async run(_input: { n: number }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('hold', () => {
      bodies++;
      return new Promise<void>(() => undefined);
    });
  }
}

/** Sleeps for a day, so it is suspended. */
@Workflow({ name: 'asleep' })
export class Asleep {
  async run(_input: { n: number }, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('1d');
  }
}
