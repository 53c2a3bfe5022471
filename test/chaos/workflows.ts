import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { currentStep, NonRetryableError, Step, Workflow, type WorkflowContext } from 'nestjs-durable';
import type pg from 'pg';

import { childOf, CHUNKS_PER_STEP, poke, type ShapeInput } from './shapes.js';

/** A recorded result that a body was given, and the key of the step that it is of. */
interface Given {
  readonly by: string;
  readonly value: string;
}

/** May end the process, around what a body does. */
export type Mishap = (moment: 'before' | 'after') => Promise<void>;

let counter: pg.Pool;
let mishap: Mishap = () => Promise.resolve();

/** Sets the pool that counts bodies, by a connection that no fault cuts. */
export function countIn(pool: pg.Pool): void {
  counter = pool;
}

/** Executes a statement on the connections that no fault cuts. */
export async function outside(sql: string, values: readonly unknown[]): Promise<void> {
  await counter.query(sql, [...values]);
}

/** Sets the mishap that threatens bodies. */
export function sufferFrom(danger: Mishap): void {
  mishap = danger;
}

/**
 * Executes a body. Each execution leaves a row, whatever becomes of its result, and has a result of
 * its own. The rows show which execution was recorded, and whether a body ever began with a result
 * that was not.
 */
export async function body(ms: number, given?: Given): Promise<string> {
  const { runId, stepKey, attempt } = currentStep();
  const nonce = randomUUID();
  await mishap('before');
  await counter.query('INSERT INTO bodies (run_id, step_key, attempt, pid, nonce, given_by, given) VALUES ($1, $2, $3, $4, $5, $6, $7)', [
    runId,
    stepKey,
    attempt,
    process.pid,
    nonce,
    given?.by ?? null,
    given?.value ?? null,
  ]);
  if (ms > 0) await sleep(ms);
  await mishap('after');
  return nonce;
}

@Workflow({ name: 'chain' })
class Chain {
  async run({ size, ms }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const results: string[] = [];
    let given: Given | undefined;
    for (let n = 1; n <= size; n++) {
      // A pass that saw another random number would not fit what is recorded.
      const value = await this.link(ctx.uuid(), ms, given);
      results.push(value);
      given = { by: n === 1 ? 'link' : `link#${n}`, value };
    }
    return results;
  }

  @Step()
  async link(_uuid: string, ms: number, given: Given | undefined): Promise<string> {
    return body(ms, given);
  }
}

@Workflow({ name: 'fan' })
class Fan {
  async run({ size, ms }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const prepared = await ctx.step('prepare', () => body(ms));
    const branches = await Promise.all(
      Array.from({ length: size }, async (_, n) => {
        const key = String(n);
        const leaf = await ctx.step('leaf', { key }, () => body(ms * (n % 3), { by: 'prepare', value: prepared }));
        const twig = await ctx.step('twig', { key }, () => body(ms, { by: `leaf:${n}`, value: leaf }));
        return [leaf, twig];
      }),
    );
    const last = branches.at(-1)!.at(-1)!;
    const gathered = await ctx.step('gather', () => body(0, { by: `twig:${size - 1}`, value: last }));
    return [prepared, ...branches.flat(), gathered];
  }
}

@Workflow({ name: 'eight' })
class Eight {
  async run({ ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const results: string[] = [];
    for (let n = 1; n <= 8; n++) {
      if (n === 5) await ctx.sleep(napMs);
      results.push(await ctx.step('work', () => body(ms)));
    }
    return results;
  }
}

@Workflow({ name: 'nap' })
class Nap {
  async run({ ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const before = await ctx.step('before', () => body(ms));
    await ctx.sleep(50);
    const between = await ctx.step('between', () => body(ms, { by: 'before', value: before }));
    await ctx.sleep(napMs);
    const after = await ctx.step('after', () => body(ms, { by: 'between', value: between }));
    return [before, between, after];
  }
}

@Workflow({ name: 'flaky' })
class Flaky {
  async run({ size, ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const retry = { maxAttempts: size + 1, initialInterval: Math.round(napMs / 10), backoffCoefficient: 2 };
    const shaky = await ctx.step('shaky', { retry }, async () => {
      const nonce = await body(ms);
      if (currentStep().attempt <= size) throw new Error('not yet');
      return nonce;
    });
    const calm = await ctx.step('calm', () => body(ms, { by: 'shaky', value: shaky }));
    return [shaky, calm];
  }
}

@Workflow({ name: 'doomed' })
class Doomed {
  async run({ ms }: ShapeInput, ctx: WorkflowContext): Promise<never> {
    const fine = await ctx.step('fine', () => body(ms));
    try {
      return await ctx.step('doomed', { retry: { maxAttempts: 3, initialInterval: 100 } }, async () => {
        await body(ms, { by: 'fine', value: fine });
        if (currentStep().attempt < 2) throw new Error('once more');
        throw new NonRetryableError('never');
      });
    } catch (error) {
      await ctx.step('undo', () => body(ms, { by: 'fine', value: fine }));
      throw error;
    }
  }
}

@Workflow({ name: 'slow' })
class Slow {
  async run({ ms }: ShapeInput): Promise<string[]> {
    const first = await this.slow(ms, undefined);
    return [first, await this.slow(ms, { by: 'slow', value: first })];
  }

  @Step()
  async slow(ms: number, given: Given | undefined): Promise<string> {
    const nonce = await body(0, given);
    // Every other body hears when it is to stop.
    await sleep(ms, undefined, ms % 2 === 0 ? { signal: currentStep().abortSignal } : {});
    return nonce;
  }
}

/** Signals come in order, each once. */
function inOrder(got: number, expected: number): void {
  if (got !== expected) throw new NonRetryableError(`signal ${got} instead of ${expected}`);
}

@Workflow({ name: 'signalled' })
class Signalled {
  async run({ size, ms }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const results: string[] = [];
    for (let n = 0; n < size; n++) {
      inOrder(await ctx.waitForSignal(poke), n);
      results.push(await ctx.step('signalled', () => body(ms)));
    }
    return results;
  }
}

/** A workflow whose late signal, sent after the race has ended, is kept for its next wait. */
@Workflow({ name: 'raced' })
class Raced {
  async run({ ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.race({ poked: () => ctx.waitForSignal(poke), late: () => ctx.sleep(napMs) });
    inOrder(first.key === 'poked' ? first.value : await ctx.waitForSignal(poke), 0);
    return [await ctx.step('raced', () => body(ms))];
  }
}

/** Writes to a stream in `run` and in its steps, and is suspended after the first step. */
@Workflow({ name: 'told' })
class Told {
  async run({ size, ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const results: string[] = [];
    const out = ctx.stream<string>('story');
    for (let step = 0; step < size; step++) {
      if (step === 1) await ctx.sleep(napMs / 2);
      await out.write(`step ${step}`);
      results.push(
        await ctx.step('tell', async () => {
          for (let chunk = 0; chunk < CHUNKS_PER_STEP; chunk++) {
            await out.write(`${step}.${chunk}`);
            await sleep(ms / 6);
          }
          return body(0);
        }),
      );
    }
    return results;
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(input: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const children = Array.from({ length: input.size }, (_, n) => ctx.invoke(Chain, input, { id: childOf(ctx.runId, n), key: String(n) }));
    const results = await Promise.all(children);
    if (results.some((links) => links.length !== input.size)) throw new NonRetryableError('a child has not done its work');
    return [await ctx.step('gather', () => body(input.ms))];
  }
}

/** Sleeps until it is cancelled. */
@Workflow({ name: 'endless' })
class Endless {
  async run({ ms }: ShapeInput, ctx: WorkflowContext): Promise<void> {
    try {
      await ctx.step('begin', () => body(ms));
      await ctx.sleep('10 minutes');
    } finally {
      await ctx.step('cleanup', () => body(ms));
    }
  }
}

export const WORKFLOWS = [Chain, Fan, Eight, Nap, Flaky, Doomed, Slow, Signalled, Raced, Told, Parent, Endless];
