import { Injectable } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { currentStep, NestedStepError, Step, StepFailedError, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

@Injectable()
class PaymentService {
  @Step()
  async charge(amount: number): Promise<string> {
    return `${currentStep().stepKey} ${amount}`;
  }
}

@Workflow({ name: 'keys' })
class KeysWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(_input: void, ctx: WorkflowContext): Promise<string[]> {
    const first = await this.ship('a');
    const second = await this.ship('b');
    const other = await this.payments.charge(1);
    const keyed = await Promise.all([this.pack('x'), this.pack('y')]);
    const again = await this.pack('x');
    const inline = await ctx.step('inline', () => currentStep().idempotencyKey);
    return [first, second, other, ...keyed, again, inline];
  }

  @Step()
  async ship(what: string): Promise<string> {
    return `${currentStep().stepKey} ${what}`;
  }

  @Step({ name: 'packing', key: (what: string) => what })
  async pack(what: string): Promise<string> {
    return `${currentStep().stepKey} ${what}`;
  }
}

let together: Set<string> = new Set();

@Workflow({ name: 'parallel' })
class ParallelWorkflow {
  async run(count: number, ctx: WorkflowContext): Promise<number[]> {
    const body = async (index: number): Promise<number> => {
      together.add(currentStep().stepKey);
      await waitFor(() => together.size === count);
      return index * index;
    };
    return Promise.all(Array.from({ length: count }, (_, index) => ctx.step('square', () => body(index))));
  }
}

let executed = 0;

@Workflow({ name: 'counting' })
class CountingWorkflow {
  async run(count: number, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let index = 0; index < count; index++) {
      sum += await ctx.step('add', () => {
        executed++;
        return index;
      });
    }
    return sum;
  }
}

@Workflow({ name: 'stepless' })
class SteplessWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

@Workflow({ name: 'void' })
class VoidWorkflow {
  async run(): Promise<void> {}
}

@Workflow({ name: 'catching' })
class CatchingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      await ctx.step('declined', { retry: { maxAttempts: 1 } }, () => {
        throw new RangeError('card declined');
      });
    } catch (error) {
      return StepFailedError.is(error, RangeError) ? `${error.stepKey}: ${(error.cause as Error).message}` : 'another error';
    }
    return 'not declined';
  }
}

@Workflow({ name: 'nesting' })
class NestingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const nested = await ctx.step('outer', async () => {
      const error = await ctx.step('inner', () => 1).catch((thrown: unknown) => thrown);
      return error instanceof NestedStepError ? `${error.outerStepKey} ${error.innerStep}` : 'allowed';
    });
    return `${nested}; ${await ctx.step('calls a method', () => this.plain())}`;
  }

  @Step()
  async plain(): Promise<string> {
    return `plain in ${currentStep().stepKey}`;
  }
}

const workflows = [
  PaymentService,
  KeysWorkflow,
  ParallelWorkflow,
  CountingWorkflow,
  SteplessWorkflow,
  VoidWorkflow,
  CatchingWorkflow,
  NestingWorkflow,
];

describe('steps', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async () => (await startApplication(database.url, workflows)).client;

  it('have distinct keys, which are the same in the body and in SQL', async () => {
    const client = await boot();
    const handle = await client.start(KeysWorkflow);
    await expect(handle.result()).resolves.toEqual([
      'ship a',
      'ship#2 b',
      'PaymentService.charge 1',
      'packing:x x',
      'packing:y y',
      'packing:x#2 x',
      `${handle.runId}:inline`,
    ]);
    const rows = await database.query('SELECT * FROM durable.workflow_steps WHERE run_id = $1 ORDER BY seq', [handle.runId]);
    expect(rows.map((row) => row.step_key)).toEqual([
      'ship',
      'ship#2',
      'PaymentService.charge',
      'packing:x',
      'packing:y',
      'packing:x#2',
      'inline',
    ]);
    expect(rows.map((row) => row.seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(rows[0]).toMatchObject({ kind: 'step', status: 'completed', output: 'ship a', attempts: 1, epoch: 1, error: null });
    expect(rows[0].finished_at.getTime()).toBeGreaterThanOrEqual(rows[0].started_at.getTime());
  });

  it('run in parallel when they are called in parallel', async () => {
    const client = await boot();
    together = new Set();
    await expect(client.execute(ParallelWorkflow, 3)).resolves.toEqual([0, 1, 4]);
    expect([...together].sort()).toEqual(['square', 'square#2', 'square#3']);
  });

  it('run in parallel when a workflow calls 200 of them at once', async () => {
    const client = await boot();
    together = new Set();
    const handle = await client.start(ParallelWorkflow, 200);
    expect((await handle.result()).at(-1)).toBe(199 * 199);
    expect(await handle.steps()).toHaveLength(200);
  });

  it('run once each when a workflow calls 1,000 of them in a row', async () => {
    const client = await boot();
    executed = 0;
    const handle = await client.start(CountingWorkflow, 1_000);
    await expect(handle.result({ timeout: seconds(25) })).resolves.toBe(499_500);
    expect(executed).toBe(1_000);
    const steps = await handle.steps();
    expect(steps).toHaveLength(1_000);
    expect(steps.at(-1)).toMatchObject({ stepKey: 'add#1000', seq: 1_000, output: 999, attempts: 1 });
  });

  it('are optional: a workflow without steps completes', async () => {
    const client = await boot();
    const handle = await client.start(SteplessWorkflow, 'Ada');
    await expect(handle.result()).resolves.toBe('hello Ada');
    await expect(handle.steps()).resolves.toEqual([]);
  });

  it('are optional in a workflow without input and output too', async () => {
    const client = await boot();
    const handle = await client.start(VoidWorkflow);
    await expect(handle.result()).resolves.toBeUndefined();
    await expect(handle.describe()).resolves.toMatchObject({ input: undefined, output: undefined, status: 'completed' });
  });

  it('fail with a StepFailedError that the workflow can catch', async () => {
    const client = await boot();
    const handle = await client.start(CatchingWorkflow);
    await expect(handle.result()).resolves.toBe('declined: card declined');
    const [step] = await handle.steps();
    expect(step).toMatchObject({ stepKey: 'declined', status: 'failed', attempts: 1, output: undefined });
    expect(step!.error).toBeInstanceOf(StepFailedError);
    expect(step!.error!.cause).toMatchObject({ name: 'RangeError', message: 'card declined' });
  });

  it('in the body of another step are refused as ctx.step, and are plain calls as methods', async () => {
    const client = await boot();
    const handle = await client.start(NestingWorkflow);
    await expect(handle.result()).resolves.toBe('outer inner; plain in calls a method');
    expect((await handle.steps()).map((step) => step.stepKey)).toEqual(['outer', 'calls a method']);
  });

  it('are plain methods outside a run', async () => {
    const { module } = await startApplication(database.url, workflows);
    await expect(module.get(NestingWorkflow).plain()).rejects.toThrow('currentStep() works only while');
  });
});
