import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { currentStep, defineSignal, Workflow, type WorkflowContext } from '../../src/index.js';

export const approved = defineSignal<{ by: string }>('approved');
export const rejected = defineSignal<{ why: string }>('rejected');
export const ping = defineSignal('ping');
export const number = defineSignal<number>('number');

let counter: pg.Pool | undefined;

/** Sets the pool with which this process counts bodies. */
export function countIn(pool: pg.Pool): void {
  counter = pool;
}

/** Inserts a row for each execution of a body, even when the result of the body is lost. */
async function count(): Promise<void> {
  const { runId, stepKey } = currentStep();
  await counter?.query('INSERT INTO bodies (run_id, step_key, pid) VALUES ($1, $2, $3)', [runId, stepKey, process.pid]);
}

interface WaitsInput {
  timeout?: number;
  sleepFirst?: number;
  count?: number;
}

@Workflow({ name: 'waits' })
export class Waits {
  async run(input: WaitsInput, ctx: WorkflowContext): Promise<unknown[]> {
    if (input.sleepFirst !== undefined) await ctx.sleep(input.sleepFirst);
    const got: unknown[] = [];
    for (let index = 0; index < (input.count ?? 1); index++) {
      got.push(
        input.timeout === undefined ? await ctx.waitForSignal(approved) : await ctx.waitForSignal(approved, { timeout: input.timeout }),
      );
    }
    return got;
  }
}

/** Collects `count` numbers. A later wait takes a signal that comes after the first timeout. */
@Workflow({ name: 'collects' })
export class Collects {
  async run(input: { count: number; timeout?: number }, ctx: WorkflowContext): Promise<{ numbers: number[]; timedOut: number }> {
    const numbers: number[] = [];
    let timedOut = 0;
    while (numbers.length < input.count) {
      const { timeout } = input;
      const next =
        timeout !== undefined && timedOut === 0
          ? await ctx.waitForSignal(number, { timeout })
          : await ctx.waitForSignal(number, { timeout: '30s' });
      if (next !== null) numbers.push(next);
      else if (++timedOut > 1) break;
    }
    return { numbers, timedOut };
  }
}

@Workflow({ name: 'pinged' })
export class Pinged {
  async run(_input: void, ctx: WorkflowContext): Promise<true> {
    return ctx.waitForSignal(ping);
  }
}

/** Counts a body before and after a signal. */
@Workflow({ name: 'counted' })
export class Counted {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.step('before', count);
    const { by } = await ctx.waitForSignal(approved);
    await ctx.step('after', count);
    return by;
  }
}

/** Waits for either signal, and then for the other. */
@Workflow({ name: 'either' })
export class Either {
  async run(input: { timeout: number }, ctx: WorkflowContext): Promise<{ first: string; left: unknown }> {
    const { key } = await ctx.race({
      approved: () => ctx.waitForSignal(approved),
      rejected: () => ctx.waitForSignal(rejected),
      late: () => ctx.sleep(input.timeout),
    });
    const options = { timeout: key === 'late' ? 1 : 60_000 };
    const left = key === 'approved' ? await ctx.waitForSignal(rejected, options) : await ctx.waitForSignal(approved, options);
    return { first: key, left };
  }
}

@Workflow({ name: 'busy' })
export class Busy {
  async run(ms: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('work', async () => {
      await sleep(ms);
      return ms;
    });
  }
}

@Workflow({ name: 'doorbell' })
export class Doorbell {
  async run(input: { token: string; count: number }, ctx: WorkflowContext): Promise<number[]> {
    const hook = await ctx.hook<number>({ token: input.token });
    const rings: number[] = [];
    while (rings.length < input.count) rings.push(await hook.wait());
    return rings;
  }
}

@Workflow({ name: 'mother' })
export class Mother {
  async run(ms: number, ctx: WorkflowContext): Promise<number> {
    return ctx.invoke(Busy, ms);
  }
}

@Workflow({ name: 'patient' })
export class Patient {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('1 hour');
  }
}

@Workflow({ name: 'guardian' })
export class Guardian {
  async run(ms: number, ctx: WorkflowContext): Promise<void> {
    await ctx.step('think', () => sleep(ms));
    await ctx.invoke(Patient);
  }
}

@Workflow({ name: 'leaf' })
export class Leaf {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    await ctx.step('leaf', count);
    return n;
  }
}

/** Executes children and steps concurrently. */
@Workflow({ name: 'tree' })
export class Tree {
  async run(width: number, ctx: WorkflowContext): Promise<number> {
    const numbers = Array.from({ length: width }, (_, index) => index);
    const [leaves] = await Promise.all([
      ctx.invokeMany(Leaf, numbers, { maxInFlight: width }),
      ...numbers.map((index) => ctx.step('twig', { key: String(index) }, count)),
    ]);
    return leaves.reduce((sum, each) => sum + each, 0);
  }
}

export const WORKFLOWS = [Waits, Collects, Pinged, Counted, Either, Busy, Doorbell, Mother, Patient, Guardian, Leaf, Tree];
