import { Injectable } from '@nestjs/common';
import { describe, expect, it } from '@jest/globals';

import { currentManager, defineSignal, Step, StepFailedError, Workflow, type WorkflowContext } from '../../src/index.js';
import { runInMemory, sent, WorkflowTestError } from '../../src/testing/index.js';

const approved = defineSignal<{ by: string }>('approved');
const START = new Date('2030-01-01T00:00:00.000Z');
const DAY = 86_400_000;

@Injectable()
class PaymentService {
  @Step({ retry: { maxAttempts: 3, initialInterval: '1h', maxInterval: '1 day', jitter: false } })
  async charge(_order: string): Promise<string> {
    throw new Error('no payment provider in tests');
  }
}

@Workflow({ name: 'memory-order' })
class OrderWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(order: string, ctx: WorkflowContext): Promise<{ charge: string; by: string; at: Date }> {
    const charge = await this.payments.charge(order);
    const approval = await ctx.waitForSignal(approved, { timeout: '5 days' });
    await ctx.sleep('3 days');
    await this.ship(order);
    return { charge, by: approval?.by ?? 'nobody', at: ctx.now() };
  }

  @Step({ timeout: '10 minutes', retry: { maxAttempts: 1 } })
  async ship(order: string): Promise<string> {
    return `shipped ${order}`;
  }
}

@Workflow({ name: 'memory-subscription' })
class SubscriptionWorkflow {
  async run(days: number, ctx: WorkflowContext): Promise<number> {
    let bills = 0;
    for (let day = 0; day < days; day++) {
      await ctx.sleep('1 day');
      bills += await ctx.step('bill', () => 1);
    }
    return bills;
  }
}

@Workflow({ name: 'memory-transfer' })
class TransferWorkflow {
  async run(amount: number): Promise<number> {
    return this.book(amount);
  }

  @Step({ transactional: true, retry: { maxAttempts: 1 } })
  async book(amount: number): Promise<number> {
    await currentManager().query('UPDATE accounts SET cents = cents - $1', [amount]);
    return amount;
  }
}

@Workflow({ name: 'memory-parent' })
class ParentWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return (await ctx.invoke(SubscriptionWorkflow, 3)) + (await ctx.invoke(CountingWorkflow, 0));
  }
}

@Workflow({ name: 'memory-counting' })
class CountingWorkflow {
  async run(count: number, ctx: WorkflowContext): Promise<number> {
    await ctx.sleep('1 day');
    if (count === 2) return count;
    return ctx.continueAsNew(CountingWorkflow, count + 1);
  }
}

class Bill {
  amount = 1;
}

@Workflow({ name: 'memory-mistakes' })
class MistakesWorkflow {
  calls = 0;

  async run(mistake: 'clock' | 'field' | 'argument', ctx: WorkflowContext): Promise<number> {
    if (mistake === 'argument') await this.raise(new Bill());
    if (mistake === 'field') this.calls++;
    await ctx.sleep('1 day');
    return mistake === 'clock' ? Date.now() : 0;
  }

  @Step({ retry: { maxAttempts: 1 } })
  async raise(bill: Bill): Promise<void> {
    bill.amount++;
  }
}

describe('runInMemory', () => {
  it('executes a workflow with fakes and signals, in virtual time', async () => {
    const run = await runInMemory(OrderWorkflow, 'o-1', {
      providers: [{ provide: PaymentService, useValue: { charge: async (order: string) => `charged ${order}` } }],
      steps: { ship: (order) => `faked ${order}` },
      signals: [sent(approved, { by: 'ann' }, { after: '2 days' })],
      startAt: START,
    });
    expect(run).toMatchObject({
      status: 'completed',
      output: { charge: 'charged o-1', by: 'ann', at: new Date(START.getTime() + 5 * DAY) },
    });
    expect(run.endedAt).toEqual(new Date(START.getTime() + 5 * DAY));
    expect(run.steps.map(({ stepKey }) => stepKey)).toEqual(['PaymentService.charge', 'signal:approved', 'sleep', 'ship']);
    expect(run.steps.at(-1)!.output).toBe('faked o-1');
  });

  it('lets retries and timeouts pass, and returns the error of the workflow', async () => {
    const failed = await runInMemory(OrderWorkflow, 'o-2', { providers: [PaymentService], startAt: START });
    expect(failed.status).toBe('failed');
    expect(failed.error).toBeInstanceOf(StepFailedError);
    expect(failed.endedAt).toEqual(new Date(START.getTime() + 3 * 3_600_000));

    const slow = await runInMemory(OrderWorkflow, 'o-3', {
      providers: [{ provide: PaymentService, useValue: { charge: async () => 'ch' } }],
      steps: { ship: () => new Promise<string>(() => {}) },
      startAt: START,
    });
    expect(slow.error).toMatchObject({ cause: { name: 'StepTimeoutError' } });
    expect(slow.endedAt).toEqual(new Date(START.getTime() + 8 * DAY + 600_000));
  });

  it('executes a year of daily wakes', async () => {
    const run = await runInMemory(SubscriptionWorkflow, 365, { startAt: START });
    expect(run).toMatchObject({ output: 365, endedAt: new Date(START.getTime() + 365 * DAY) });
  });

  it('executes children and runs that continue one another', async () => {
    const run = await runInMemory(ParentWorkflow, undefined, { providers: [SubscriptionWorkflow, CountingWorkflow], startAt: START });
    expect(run).toMatchObject({ output: 5, endedAt: new Date(START.getTime() + 6 * DAY) });
  });

  it.each(['clock', 'field', 'argument'] as const)('fails a run that depends on its %s', async (mistake) => {
    const { error } = await runInMemory(MistakesWorkflow, mistake);
    const name = { clock: 'ReplayDifferenceError', field: 'SharedStateError', argument: 'ArgumentChangedError' }[mistake];
    expect([error?.name, (error?.cause as Error | undefined)?.name]).toContain(name);
  });

  it('names the wait of a run that never ends', async () => {
    @Workflow({ name: 'memory-waiting' })
    class WaitingWorkflow {
      async run(_input: void, ctx: WorkflowContext): Promise<void> {
        await ctx.waitForSignal(approved);
      }
    }
    await expect(runInMemory(WaitingWorkflow)).rejects.toThrow(/waits for signal "approved"/);
    await expect(runInMemory(ParentWorkflow)).rejects.toThrow(WorkflowTestError);
  });

  it('executes the fake of a transactional step, and fails a body that needs the database', async () => {
    expect(await runInMemory(TransferWorkflow, 5, { steps: { book: async (amount) => amount * 2 } })).toMatchObject({ output: 10 });
    const { status, error } = await runInMemory(TransferWorkflow, 5);
    expect(status).toBe('failed');
    expect(error?.cause).toMatchObject({ message: expect.stringContaining('currentManager() has no database in runInMemory') as unknown });
  });
});
