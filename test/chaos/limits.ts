import { setTimeout as sleep } from 'node:timers/promises';

import { currentStep, Workflow, type Batch, type QueueOptions, type StepLimitOptions, type WorkflowContext } from 'nestjs-durable';

import type { CallInput, Shape, ShapeInput } from './shapes.js';
import { noteCall, recorded } from './spans.js';
import { body } from './workflows.js';

/**
 * Places and rates so small that the runs of three processes compete for them. The period is long,
 * because a body may begin late by a hundredth of the period, and its process may have to wait for
 * a processor between the check of the slot and the body.
 */
const PLACES = 4;
const KEYED_PLACES = 5;
const STEP_PLACES = 3;
/** Milliseconds by which bodies in places are longer, so that they meet. */
const LONGER_MS = 40;
const RATE = 6;
const PERIOD_MS = 2_000;
export const BATCH = { size: 4, wait: 400 };

/** Queues of the module in the workload `limits`. */
export const QUEUES = {
  places: { concurrency: PLACES },
  keys: { concurrency: KEYED_PLACES, key: { concurrency: 1 } },
  rated: { rateLimit: { limit: RATE, period: PERIOD_MS } },
} satisfies Record<string, QueueOptions>;

/** Limits of steps of the module in the workload `limits`. */
export const STEP_LIMITS = {
  calls: { concurrency: STEP_PLACES, key: { concurrency: 1 } },
  api: { rateLimit: { limit: RATE, period: PERIOD_MS } },
} satisfies Record<string, StepLimitOptions>;

/** Largest number of runs that are executed at once, by the kind of their spans. */
export const MOST_AT_ONCE: Readonly<Record<string, { readonly total: number; readonly ofKey?: number }>> = {
  places: { total: PLACES },
  keys: { total: KEYED_PLACES, ofKey: 1 },
  calls: { total: STEP_PLACES, ofKey: 1 },
};

/** Largest number of starts in any window of the period, by the kind of their spans. */
export const RATES: Readonly<Record<string, { readonly limit: number; readonly periodMs: number }>> = {
  rated: { limit: RATE, periodMs: PERIOD_MS },
  api: { limit: RATE, periodMs: PERIOD_MS },
};

/** Kinds of spans that count once for each run. A repeated execution of a run has no new slot. */
export const RATED_RUNS = ['rated'];

/** Queue and key with which a run is started. Starts by name do not know those of the class. */
export function queueOf(shape: Shape, { size }: ShapeInput): { readonly queue?: string; readonly queueKey?: string } {
  switch (shape) {
    case 'placed':
    case 'stopped':
      return { queue: 'places' };
    case 'keyed':
      return { queue: 'keys', queueKey: `key ${size}` };
    case 'rated':
      return { queue: 'rated' };
    case 'calling':
      return { queueKey: `key ${size}` };
    default:
      return {};
  }
}

/** Leaves its place while it sleeps, and gets another one. */
@Workflow({ name: 'placed', queue: 'places' })
class Placed {
  async run({ ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const before = await ctx.step('work', () => recorded('places', '', ms + LONGER_MS));
    await ctx.sleep(napMs / 4);
    return [before, await ctx.step('work', () => recorded('places', '', ms + LONGER_MS))];
  }
}

@Workflow({ name: 'keyed', queue: 'keys' })
class Keyed {
  async run({ size, ms }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.step('work', () => recorded('keys', `key ${size}`, ms + LONGER_MS));
    return [first, await ctx.step('work', () => recorded('keys', `key ${size}`, ms + LONGER_MS))];
  }
}

@Workflow({ name: 'rated', queue: 'rated' })
class Rated {
  async run({ ms }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    return [await ctx.step('work', () => recorded('rated', '', ms))];
  }
}

/** Calls with limits, of which some fail once. A repeated attempt needs another place. */
@Workflow({ name: 'calling' })
class Calling {
  async run({ size, ms }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const retry = { maxAttempts: 3, initialInterval: 50 };
    const called = await ctx.step('call', { limit: 'calls', retry }, async () => {
      const nonce = await recorded('calls', `key ${size}`, ms + 4 * LONGER_MS);
      if (size % 3 === 0 && currentStep().attempt === 1) throw new Error('not yet');
      return nonce;
    });
    return [called, await ctx.step('request', { limit: 'api' }, () => recorded('api', '', ms))];
  }
}

/** Is cancelled while it waits for a place, has one, or sleeps. */
@Workflow({ name: 'stopped', queue: 'places' })
class Stopped {
  async run({ ms }: ShapeInput, ctx: WorkflowContext): Promise<void> {
    try {
      await ctx.step('begin', () => body(ms));
      await ctx.sleep('10 minutes');
    } finally {
      await ctx.step('cleanup', () => body(ms));
    }
  }
}

@Workflow({ name: 'debounced' })
class Debounced {
  async run(call: CallInput, ctx: WorkflowContext): Promise<number> {
    await ctx.step('work', () => noteCall(call));
    return call.n;
  }
}

@Workflow({ name: 'throttled' })
class Throttled {
  async run(call: CallInput, ctx: WorkflowContext): Promise<number> {
    await ctx.step('work', () => noteCall(call));
    return call.n;
  }
}

/** Batches, each of which counts as one run of its queue. */
@Workflow({ name: 'batched', queue: 'places', batch: BATCH })
export class Batched {
  async run(calls: Batch<CallInput>, ctx: WorkflowContext): Promise<string[]> {
    const nonce = await ctx.step('work', async () => {
      await sleep(5);
      return recorded('places', '', 20);
    });
    return calls.map(({ key, n }) => `${key} ${n} ${nonce}`);
  }
}

export const LIMITED = [Placed, Keyed, Rated, Calling, Stopped, Debounced, Throttled, Batched];
