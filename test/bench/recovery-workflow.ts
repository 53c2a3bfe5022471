import { setTimeout as sleep } from 'node:timers/promises';
import { Step, Workflow } from 'nestjs-durable';

/** In the process that will be killed: the second step does not end. */
let arrived: (() => void) | undefined;

/** Makes this process one in which runs get stuck. Resolves when so many are. */
export function stuckIn(runs: number): Promise<void> {
  return new Promise((resolve) => {
    let left = runs;
    arrived = () => {
      if (--left === 0) resolve();
    };
  });
}

/** Three steps: one is recorded when the worker is killed, one is under way, one has not begun. */
@Workflow({ name: 'lost-runs' })
export class LostRuns {
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
    if (arrived) {
      arrived();
      await new Promise<never>(() => undefined);
    }
    await sleep(20);
    return n + 1;
  }

  @Step()
  async three(n: number): Promise<number> {
    return n + 1;
  }
}
