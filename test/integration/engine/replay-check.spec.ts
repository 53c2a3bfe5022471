import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Injectable, Scope, type Type } from '@nestjs/common';

import {
  NonDeterminismError,
  ReplayDifferenceError,
  Step,
  Workflow,
  WorkflowFailedError,
  type WorkflowClient,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

/** Longer than a loaded machine takes to suspend a run that sleeps. */
const SLEEP_MS = seconds(1);

@Workflow({ name: 'clock' })
class ClockWorkflow {
  private count = 0;
  async run(sleepMs: number, ctx: WorkflowContext): Promise<number> {
    const now = this.next();
    await this.note(now);
    await ctx.sleep(sleepMs);
    return 1;
  }
  /**
   * Reads a clock whose readings all differ. The guard of shared state watches fields, and
   * `readings` is no field.
   */
  private next(): number {
    return readings++ + this.count;
  }
  @Step()
  async note(value: number): Promise<number> {
    return value;
  }
}
let readings = 0;

@Workflow({ name: 'closure' })
class ClosureWorkflow {
  async run(_: void, ctx: WorkflowContext): Promise<unknown> {
    let id: number | undefined;
    await ctx.step('create', () => void (id = 7));
    return { id };
  }
}

@Workflow({ name: 'child' })
class ChildWorkflow {
  async run(n: number): Promise<{ n: number }> {
    return this.double(n);
  }
  @Step()
  async double(n: number): Promise<{ n: number }> {
    return { n: 2 * n };
  }
}

@Workflow({ name: 'parent' })
class ParentWorkflow {
  async run(inputs: number[], ctx: WorkflowContext): Promise<unknown> {
    const one = await ctx.invoke(ChildWorkflow, 1);
    const many = await ctx.invokeMany(ChildWorkflow, inputs);
    const { runId } = await ctx.start(ChildWorkflow, 3);
    const hook = await ctx.hook();
    ctx.setState('hook', hook.token);
    return { one, many, runId, token: hook.token, at: ctx.now(), by: ctx.uuid(), patched: ctx.patched('more') };
  }
}

@Workflow({ name: 'loop' })
class LoopWorkflow {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    await ctx.step('count', () => n);
    if (n < 3) return ctx.continueAsNew(LoopWorkflow, n + 1);
    return n;
  }
}

@Injectable({ scope: Scope.REQUEST })
class Collector {
  readonly items: string[] = [];
}

@Workflow({ name: 'scoped', scope: Scope.REQUEST })
class ScopedWorkflow {
  constructor(private readonly collector: Collector) {}
  async run(item: string, ctx: WorkflowContext): Promise<string[]> {
    this.collector.items.push(await ctx.step('item', () => item));
    return this.collector.items;
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

const ALL: Type[] = [ClockWorkflow, ClosureWorkflow, ChildWorkflow, ParentWorkflow, LoopWorkflow, ScopedWorkflow, Collector];

async function clientFor(schema: string, worker: object, options: object = {}): Promise<WorkflowClient> {
  const standard = { verifyReplay: 'auto', onMismatch: 'auto' };
  const { client } = await startApplication(database.url, ALL, { schema, worker: { ...standard, ...worker }, ...options } as never);
  return client;
}

describe('replay checks under a test runner', () => {
  it('a run that is not deterministic fails instead of waiting for another deployment', async () => {
    const client = await clientFor('clocks', { suspendAfter: 0, verifyReplay: 'never' });
    const error = await client.execute(ClockWorkflow, SLEEP_MS, { id: 'clock' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(NonDeterminismError);
    expect(((error as Error).cause as Error).message).toMatch(/Date\.now\(\).*docs\/upgrading\.md/);
    expect(await client.list({ errorCode: 'NON_DETERMINISM' })).toMatchObject({ runs: [{ runId: 'clock' }] });
  });

  it('a run that would differ in a replay fails at its end', async () => {
    const client = await clientFor('closures', {});
    for (const execute of [() => client.execute(ClosureWorkflow), () => client.execute(ClockWorkflow, 20)]) {
      const error = await execute().catch((thrown: unknown) => thrown);
      expect((error as Error).cause).toBeInstanceOf(ReplayDifferenceError);
    }
  });

  it('a run that is not deterministic is blocked where onMismatch is block', async () => {
    const client = await clientFor('blocked', { suspendAfter: 0, verifyReplay: 'never', onMismatch: 'block' });
    const handle = await client.start(ClockWorkflow, SLEEP_MS);
    await waitFor(async () => (await handle.describe()).blockedDeployments.length === 1);
    await expect(handle.result({ timeout: 50 })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
  });
});

describe('the replay at the end of a run', () => {
  const reverse = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes).reverse();
  it.each<[string, object, object]>([
    ['suspended at every wait', { suspendAfter: 0 }, {}],
    ['in one pass', {}, {}],
    ['with a codec', {}, { payloads: { codec: { encode: reverse, decode: reverse } } }],
  ])('finds no difference in children, hooks, chains and request-scoped workflows: %s', async (name, worker, options) => {
    const client = await clientFor(name.replaceAll(' ', '_'), { ...worker, verifyReplay: 'always' }, options);
    const parent = await client.execute(ParentWorkflow, [4, 5]);
    expect(parent).toMatchObject({ one: { n: 2 }, many: [{ n: 8 }, { n: 10 }], patched: true });
    expect(await client.execute(LoopWorkflow, 1)).toBe(3);
    expect(await client.execute(ScopedWorkflow, 'a')).toEqual(['a']);
  });
});
