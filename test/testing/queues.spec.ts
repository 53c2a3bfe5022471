import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  currentStep,
  NonRetryableError,
  Step,
  Workflow,
  WorkflowModule,
  type Batch,
  type WorkflowContext,
  type WorkflowHandle,
} from '../../src/index.js';
import { replayHistory, WorkflowTest } from '../../src/testing/index.js';

let test: WorkflowTest;
/** Hours of the test's clock at which bodies began, since `beganAt`. */
let hours: number[] = [];
let beganAt = 0;
const noteHour = (): void => void hours.push((test.now().getTime() - beganAt) / 3_600_000);

@Workflow({ name: 'report', queue: 'reports', queueKey: (tenant: string) => tenant })
class Report {
  async run(_tenant: string, ctx: WorkflowContext): Promise<void> {
    await ctx.step('begin', noteHour);
    await ctx.sleep('1h');
  }
}

@Workflow({ name: 'letter', queue: 'letters' })
class Letter {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('send', noteHour);
  }
}

@Workflow({ name: 'payment' })
class Payment {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.race({ charge: () => this.charge(), late: () => ctx.sleep('90m') });
    await ctx.race({ charge: () => this.charge(), late: () => ctx.sleep('90m') });
    return (await ctx.race({ charge: () => this.charge(), late: () => ctx.sleep('30m') })).key;
  }

  @Step({ limit: 'bank' })
  async charge(): Promise<void> {
    noteHour();
  }
}

@Workflow({ name: 'refunds' })
class Refunds {
  async run(_input: void): Promise<void> {
    await Promise.all([this.pay(1), this.pay(2)]);
    throw new NonRetryableError('sold out');
  }

  @Step({ key: String, compensate: 'refund' })
  async pay(_number: number): Promise<void> {}

  @Step({ limit: 'refunds' })
  async refund(_: void, _number: number): Promise<void> {
    noteHour();
  }
}

@Workflow({ name: 'upload' })
class Upload {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('upload', { limit: 'uploads' }, () => new Promise((resolve) => setTimeout(resolve, 5)));
  }
}

@Workflow({ name: 'index' })
class Index {
  async run(version: number): Promise<number> {
    return version;
  }
}

@Workflow({ name: 'double', batch: { size: 3, wait: '10m' } })
class Double {
  async run(values: Batch<number>): Promise<number[]> {
    return this.double([...values]);
  }

  @Step()
  async double(values: number[]): Promise<number[]> {
    return values.map((value) => value * 2 + currentStep().attempt - 1);
  }
}

const statusesOf = (runs: readonly WorkflowHandle[]): Promise<string[]> => Promise.all(runs.map((run) => run.status()));

describe('limits, shared starts and batches under the clock of a test', () => {
  beforeAll(async () => {
    const queues = {
      reports: { concurrency: 3, key: { concurrency: 1 }, countSuspended: true },
      letters: { rateLimit: { limit: 1, period: '50m' } },
    } as const;
    const limits = {
      bank: { rateLimit: { limit: 1, period: '50m' } },
      refunds: { rateLimit: { limit: 1, period: '50m' } },
      uploads: { concurrency: 1 },
    } as const;
    const builder = Test.createTestingModule({
      imports: [WorkflowModule.forRoot({ queues, limits })],
      providers: [Report, Letter, Payment, Refunds, Upload, Index, Double],
    });
    test = await WorkflowTest.create(builder);
  });
  afterAll(() => test?.close());
  const begin = (): void => {
    hours = [];
    beganAt = test.now().getTime();
  };

  it('admit runs before the test is idle, and the next ones when a place is free', async () => {
    begin();
    const runs = await Promise.all(['a', 'a', 'b'].map((tenant) => test.client.start(Report, tenant)));
    await test.runUntilIdle();
    expect(hours).toEqual([0, 0]);
    await test.advance('1h');
    expect(hours).toEqual([0, 0, 1]);
    await test.advance('1h');
    expect(await statusesOf(runs)).toEqual(['completed', 'completed', 'completed']);
  });

  it('let a bulk operation do its parts, and the runs end, before the test is idle', async () => {
    const runs = await Promise.all(['a', 'b', 'c'].map((tenant) => test.client.start(Report, tenant)));
    await test.runUntilIdle();
    const { token } = await test.client.bulk.cancel({ filter: { name: 'report', status: 'waiting' }, dryRun: true });
    await test.client.bulk.cancel({ token, rate: 1 });
    await test.runUntilIdle();
    expect((await statusesOf(runs)).filter((status) => status === 'cancelled')).toHaveLength(1);
    await test.advance('2s');
    expect(await statusesOf(runs)).toEqual(['cancelled', 'cancelled', 'cancelled']);
  });

  it('begin runs and steps at their slots of a rate limit', async () => {
    for (const workflow of [Letter, Payment]) {
      begin();
      const runs = workflow === Letter ? [1, 2, 3] : [1];
      const started = await Promise.all(runs.map(() => test.client.start(workflow)));
      await test.advance('20m');
      expect(hours).toEqual([0]);
      await test.advance('40m');
      expect(hours).toHaveLength(2);
      expect(hours[1]).toBeCloseTo(50.5 / 60);
      await test.advance('3h');
      expect(await statusesOf(started)).toEqual(runs.map(() => 'completed'));
      if (workflow === Payment) expect(await started[0]!.result()).toBe('late');
      else expect(hours[2]).toBeCloseTo(101 / 60);
    }
  });

  it('apply to compensations', async () => {
    begin();
    const run = await test.client.start(Refunds);
    await test.runUntilIdle();
    expect(hours).toEqual([0]);
    await test.advance('1h');
    expect(hours).toHaveLength(2);
    expect(await run.status()).toBe('failed');
  });

  it('let steps take turns', async () => {
    const runs = await Promise.all([1, 2, 3].map(() => test.client.start(Upload)));
    await test.runUntilIdle();
    expect(await statusesOf(runs)).toEqual(['completed', 'completed', 'completed']);
  });

  it('debounce and throttle starts', async () => {
    const debounce = { key: 'docs', period: '5m', maxWait: '8m' } as const;
    const first = await test.client.start(Index, 1, { debounce });
    await test.advance('4m');
    const second = await test.client.start(Index, 2, { debounce });
    await test.advance('3m');
    expect([second.runId, await first.status()]).toEqual([first.runId, 'waiting']);
    await test.advance('1m');
    expect(await first.result()).toBe(2);

    const throttle = { key: 'docs', period: '5m' } as const;
    const started = await test.client.start(Index, 3, { throttle });
    expect((await test.client.start(Index, 4, { throttle })).runId).toBe(started.runId);
    await test.advance('5m');
    expect((await test.client.start(Index, 5, { throttle })).created).toBe(true);
  });

  it('execute a full batch at once, and any other batch when its wait is over', async () => {
    const runs = await Promise.all([1, 2, 3, 4].map((value) => test.client.start(Double, value)));
    await test.runUntilIdle();
    expect((await statusesOf(runs)).sort()).toEqual(['completed', 'completed', 'completed', 'waiting']);
    await test.advance('10m');
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual([2, 4, 6, 8]);
    const { batchId } = await test.client.describe(runs[0]!.runId);
    await replayHistory(Double, await test.client.exportHistory(batchId!));
    await expect(test.client.exportHistory(runs[0]!.runId)).rejects.toThrow(batchId);
  });
});
