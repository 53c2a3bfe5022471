import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  defineSignal,
  InvalidInputError,
  ReplayDifferenceError,
  Step,
  Workflow,
  WorkflowModule,
  type ExportedHistory,
  type WorkflowContext,
} from '../../src/index.js';
import { replayHistory, WorkflowTest } from '../../src/testing/index.js';

const approved = defineSignal('approved');

@Injectable()
class Warehouse {
  @Step({ retry: { maxAttempts: 1 } })
  async reserve(item: string): Promise<string> {
    if (item === 'nothing') throw new Error('sold out');
    return `reserved ${item}`;
  }
}

@Workflow({ name: 'replayed' })
class Today {
  constructor(protected readonly warehouse: Warehouse) {}

  async run(item: string, ctx: WorkflowContext): Promise<string> {
    const reserved = await this.warehouse.reserve(item);
    await ctx.waitForSignal(approved);
    await ctx.sleep('1 day');
    return ctx.step('ship', () => `${reserved}, shipped`);
  }
}

@Workflow({ name: 'replayed' })
class WithNewStep extends Today {
  override async run(item: string, ctx: WorkflowContext): Promise<string> {
    await ctx.step('check', () => true);
    return super.run(item, ctx);
  }
}

@Workflow({ name: 'replayed' })
class WithoutApproval extends Today {
  override async run(item: string, ctx: WorkflowContext): Promise<string> {
    const reserved = await this.warehouse.reserve(item);
    await ctx.sleep('1 day');
    return ctx.step('ship', () => `${reserved}, shipped`);
  }
}

@Workflow({ name: 'replayed' })
class WithOtherOutput extends Today {
  override async run(item: string, ctx: WorkflowContext): Promise<string> {
    return `${await super.run(item, ctx)}!`;
  }
}

/** Cleans up after a cancellation, and then ignores it. */
@Workflow({ name: 'cleans-up' })
class CleansUp {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(approved).catch(() => this.cleanUp(ctx));
  }

  protected async cleanUp(ctx: WorkflowContext): Promise<void> {
    await ctx.step('tidy', () => 'tidy');
    await ctx.waitForSignal(approved);
  }
}

@Workflow({ name: 'cleans-up' })
class WithOtherCleanup extends CleansUp {
  protected override async cleanUp(ctx: WorkflowContext): Promise<void> {
    await ctx.step('sweep', () => 'swept');
  }
}

@Workflow({ name: 'another' })
class Another {
  async run(): Promise<void> {}
}

const providers = [Warehouse];

describe('replayHistory', () => {
  let test: WorkflowTest;
  let completed: ExportedHistory;
  let waiting: ExportedHistory;

  beforeAll(async () => {
    process.env['DATABASE_URL'] = process.env['DURABLE_TEST_SERVER_URL'];
    test = await WorkflowTest.create(
      Test.createTestingModule({ imports: [WorkflowModule.forRoot({})], providers: [Today, CleansUp, Warehouse] }),
    );
    const run = await test.client.start(Today, 'shoes');
    await test.runUntilIdle();
    waiting = await test.client.exportHistory(run.runId);
    await test.signalWhenWaiting(run, approved);
    await test.advance('1 day');
    completed = await test.client.exportHistory(run.runId);
  });
  afterAll(() => test.close());

  const differenceOf = (workflow: typeof Today | typeof CleansUp, history: ExportedHistory) =>
    replayHistory(workflow, history, { providers }).then(
      () => undefined,
      (error: unknown) => error as ReplayDifferenceError,
    );

  it('accepts a completed run, a waiting run, and the JSON text of a run, when the code fits', async () => {
    expect(completed.outcome).toMatchObject({ status: 'completed' });
    expect(await differenceOf(Today, completed)).toBeUndefined();
    expect(await differenceOf(Today, waiting)).toBeUndefined();
    await replayHistory(Today, JSON.stringify(completed), { providers });
  });

  it('names the first difference', async () => {
    expect(await differenceOf(WithNewStep, completed)).toMatchObject({ code: 'REPLAY_DIFFERENCE', stepKey: 'check' });
    expect(await differenceOf(WithoutApproval, waiting)).toMatchObject({ stepKey: 'signal:approved' });
    const output = await differenceOf(WithOtherOutput, completed);
    expect(output).toBeInstanceOf(ReplayDifferenceError);
    expect(output!.message).toContain('the output differs');
  });

  it('compares failed, cancelled and terminated runs', async () => {
    const failing = await test.client.start(Today, 'nothing');
    const [cancelled, terminated] = [await test.client.start(Today, 'hat'), await test.client.start(Today, 'hat')];
    await test.runUntilIdle();
    await cancelled.cancel();
    await test.client.terminate(terminated.runId);
    await test.runUntilIdle();
    for (const { runId } of [failing, cancelled, terminated]) {
      const history = await test.client.exportHistory(runId);
      expect(history.outcome).not.toBeNull();
      expect(await differenceOf(Today, history)).toBeUndefined();
    }
    expect(await differenceOf(WithNewStep, await test.client.exportHistory(failing.runId))).toMatchObject({ stepKey: 'check' });
  });

  it('accepts a run whose time for cleanup was used up, and one that was terminated in its cleanup', async () => {
    const [usedUp, terminated] = [await test.client.start(CleansUp), await test.client.start(CleansUp)];
    await test.runUntilIdle();
    await Promise.all([usedUp.cancel(), terminated.cancel()]);
    await test.runUntilIdle();
    await test.client.terminate(terminated.runId);
    await test.advance('1 minute');
    for (const { runId } of [usedUp, terminated]) {
      const history = await test.client.exportHistory(runId);
      expect(history.outcome).toMatchObject({ status: 'cancelled' });
      expect(await differenceOf(CleansUp, history)).toBeUndefined();
      expect(await differenceOf(WithOtherCleanup, history)).toMatchObject({ stepKey: 'sweep' });
    }
  });

  it('refuses text that is no history, and the history of another workflow', async () => {
    await expect(replayHistory(Today, '{}', { providers })).rejects.toBeInstanceOf(InvalidInputError);
    await expect(replayHistory(Today, '{', { providers })).rejects.toThrow('JSON text');
    await expect(replayHistory(Another, completed)).rejects.toThrow('is of workflow "replayed" version 1');
  });
});
