import { randomBytes } from 'node:crypto';
import { Step, Workflow } from 'nestjs-durable';

/** Number of bytes that each step returns. */
export const LARGE_BYTES = 64 * 1_024;
export const LARGE_STEPS_PER_RUN = 3;

/** Texts that PostgreSQL cannot make much smaller. */
const texts = Array.from({ length: 16 }, () => randomBytes((LARGE_BYTES * 3) / 4).toString('base64'));

export function largeText(n: number): string {
  return texts[n % texts.length]!;
}

/** Three steps that return much and take no time. */
@Workflow({ name: 'large-steps' })
export class LargeSteps {
  async run({ n }: { n: number }): Promise<void> {
    for (let step = 0; step < LARGE_STEPS_PER_RUN; step++) await this.read(n + step);
  }

  @Step()
  async read(n: number): Promise<string> {
    return largeText(n);
  }
}
