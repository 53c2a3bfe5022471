import { defineEvent, defineSignal, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

/** Three steps that do nothing: what remains is the price of durability. */
@Workflow({ name: 'three-steps' })
export class ThreeSteps {
  async run(input: { n: number }): Promise<number> {
    const one = await this.one(input.n);
    const two = await this.two(one);
    return this.three(two);
  }

  @Step()
  async one(n: number): Promise<number> {
    return n + 1;
  }

  @Step()
  async two(n: number): Promise<number> {
    return n + 1;
  }

  @Step()
  async three(n: number): Promise<number> {
    return n + 1;
  }
}

/** Times at which a ManySteps run began and each of its steps ended, by run id. */
export const stepEnds = new Map<string, number[]>();

/** Steps one after another. */
@Workflow({ name: 'many-steps' })
export class ManySteps {
  async run(input: { steps: number }, ctx: WorkflowContext): Promise<number> {
    const ends = [performance.now()];
    stepEnds.set(ctx.runId, ends);
    let sum = 0;
    for (let n = 1; n <= input.steps; n++) {
      sum += await this.step(n);
      ends.push(performance.now());
    }
    return sum;
  }

  @Step()
  async step(n: number): Promise<number> {
    return n;
  }
}

/** Steps side by side. */
@Workflow({ name: 'parallel-steps' })
export class ParallelSteps {
  async run(input: { steps: number }): Promise<number> {
    const results = await Promise.all(Array.from({ length: input.steps }, (_, n) => this.step(n)));
    return results.length;
  }

  @Step()
  async step(n: number): Promise<number> {
    return n;
  }
}

/** Times at which a Sleeper fell asleep and woke in this process, by run id. */
export const sleepers = new Map<string, { asleep: number; awake: number }>();

/** Sleeps once. A run that is replayed keeps the moment at which it first fell asleep. */
@Workflow({ name: 'sleeper' })
export class Sleeper {
  async run(input: { ms: number }, ctx: WorkflowContext): Promise<void> {
    const times = sleepers.get(ctx.runId) ?? { asleep: performance.now(), awake: Number.NaN };
    sleepers.set(ctx.runId, times);
    await ctx.sleep(input.ms);
    times.awake = performance.now();
  }
}

/** Eight steps and a sleep in the middle. */
@Workflow({ name: 'eight-steps' })
export class EightSteps {
  async run(input: { n: number; ms: number }, ctx: WorkflowContext): Promise<number> {
    let sum = input.n;
    for (let step = 1; step <= 8; step++) {
      if (step === 5) await ctx.sleep(input.ms);
      sum = await this.add(sum);
    }
    return sum;
  }

  @Step()
  async add(n: number): Promise<number> {
    return n + 1;
  }
}

export const poke = defineSignal<{ n: number }>('poke');

/** Callbacks for each signal that a Listener receives in this process, by run id. */
export const listeners = new Map<string, (n: number) => void>();

/** Waits for signals until one says that it is the last. */
@Workflow({ name: 'listener' })
export class Listener {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    for (;;) {
      const { n } = await ctx.waitForSignal(poke);
      listeners.get(ctx.runId)?.(n);
      if (n < 0) return;
    }
  }
}

/** Ends the step of a Busy run, in this process, by run id. */
export const releases = new Map<string, () => void>();

/** Is busy in a step until it is released; then takes so many signals. */
@Workflow({ name: 'busy' })
export class Busy {
  async run(input: { signals: number }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('work', () => new Promise<void>((resolve) => releases.set(ctx.runId, resolve)));
    for (let n = 0; n < input.signals; n++) await ctx.waitForSignal(poke);
  }
}

/** A child with nothing to do. */
@Workflow({ name: 'empty-child' })
export class EmptyChild {
  async run(n: number): Promise<number> {
    return n;
  }
}

/** Milliseconds from `invoke` to the result of each child, by run id. */
export const childTimes = new Map<string, number[]>();

/** Children one after another. */
@Workflow({ name: 'parent' })
export class Parent {
  async run(input: { children: number }, ctx: WorkflowContext): Promise<void> {
    const times: number[] = [];
    childTimes.set(ctx.runId, times);
    for (let n = 0; n < input.children; n++) {
      const began = performance.now();
      await ctx.invoke(EmptyChild, n);
      times.push(performance.now() - began);
    }
  }
}

export const rung = defineEvent<{ door: string }>('rung', { key: ({ door }) => door });

/** Functions that AtTheDoor calls once the event has resumed it, by run id. */
export const answers = new Map<string, () => void>();

/** Waits for one event. */
@Workflow({ name: 'at-the-door' })
export class AtTheDoor {
  async run({ door }: { door: string }, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForEvent(rung, { key: door });
    answers.get(ctx.runId)!();
  }
}

export const WORKFLOWS = [ThreeSteps, ManySteps, ParallelSteps, Sleeper, EightSteps, Listener, Busy, EmptyChild, Parent];
