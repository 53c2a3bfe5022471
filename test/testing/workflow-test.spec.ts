import { Injectable, Scope } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Step, Workflow, WorkflowModule, type WorkflowContext } from '../../src/index.js';
import { WorkflowTest, WorkflowTestError } from '../../src/testing/index.js';

const approved = defineSignal<{ by: string }>('approved');

@Injectable()
class PaymentService {
  @Step({ retry: { maxAttempts: 3, initialInterval: '1h', maxInterval: '1 day', jitter: false } })
  async charge(_order: string, _cents: number): Promise<string> {
    throw new Error('no payment provider in tests');
  }
}

@Workflow({ name: 'order' })
class OrderWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(order: string, ctx: WorkflowContext): Promise<{ charge: string; shipped: string; at: Date }> {
    const charge = await this.payments.charge(order, 500);
    await ctx.sleep('3 days');
    const shipped = await this.ship(order);
    return { charge, shipped, at: ctx.now() };
  }

  @Step({ timeout: '10 minutes', retry: { maxAttempts: 1 } })
  async ship(order: string): Promise<string> {
    return `shipped ${order}`;
  }
}

@Workflow({ name: 'approval' })
class ApprovalWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const approval = await ctx.waitForSignal(approved, { timeout: '2 days' });
    return approval ? `approved by ${approval.by}` : 'timed out';
  }
}

@Workflow({ name: 'subscription' })
class SubscriptionWorkflow {
  async run(days: number, ctx: WorkflowContext): Promise<number[]> {
    const bills: number[] = [];
    for (let day = 0; day < days; day++) {
      await ctx.sleep('1 day');
      bills.push(await ctx.step('bill', () => ctx.now().getTime()));
    }
    return bills;
  }
}

@Workflow({ name: 'clock-reader' })
class ClockReader {
  async run(): Promise<number> {
    return Date.now();
  }
}

@Injectable({ scope: Scope.REQUEST })
class TenantService {
  @Step()
  async tenant(): Promise<string> {
    return 'real';
  }
}

@Workflow({ name: 'tenant' })
class TenantWorkflow {
  constructor(private readonly tenants: TenantService) {}

  async run(): Promise<string> {
    return this.tenants.tenant();
  }
}

const DAY = 86_400_000;
const START = new Date('2030-01-01T00:00:00.000Z');

describe('WorkflowTest', () => {
  let test: WorkflowTest;

  beforeAll(async () => {
    process.env['DATABASE_URL'] = process.env['DURABLE_TEST_SERVER_URL'];
    test = await WorkflowTest.create(
      Test.createTestingModule({
        imports: [WorkflowModule.forRoot({ connection: { url: 'postgres://nobody@127.0.0.1:1/production' } })],
        providers: [PaymentService, OrderWorkflow, ApprovalWorkflow, SubscriptionWorkflow, ClockReader, TenantService, TenantWorkflow],
      }),
      { startAt: START },
    );
  });
  afterAll(() => test.close());

  it('executes a workflow with a faked step, and lets three days pass at once', async () => {
    const charge = test.fakeStep(PaymentService, 'charge', async (order, cents) => `${order}:${cents}`);
    const startedAt = test.now().getTime();
    const run = await test.client.start(OrderWorkflow, 'o-1');
    await test.runUntilIdle();
    expect(await run.status()).toBe('waiting');
    await test.advance('3 days');
    expect(await run.result()).toEqual({ charge: 'o-1:500', shipped: 'shipped o-1', at: new Date(startedAt + 3 * DAY) });
    expect(charge.calls).toEqual([['o-1', 500]]);
    expect((await test.stepsOf(run)).map(({ stepKey }) => stepKey)).toEqual(['PaymentService.charge', 'sleep', 'ship']);
    charge.restore();
  });

  it('lets the pauses between attempts pass', async () => {
    const run = await test.client.start(OrderWorkflow, 'o-2');
    await test.advance('59 minutes');
    expect(await run.status()).toBe('waiting');
    await test.advance('2h');
    expect(await run.status()).toBe('waiting');
    await test.advance('1h');
    await expect(run.result()).rejects.toMatchObject({ cause: { code: 'STEP_FAILED', attempts: 3 } });
  });

  it('lets the timeout of a hanging step pass', async () => {
    const charge = test.fakeStep(PaymentService, 'charge', async () => 'ch');
    const ship = test.fakeStep(OrderWorkflow, 'ship', () => new Promise<string>(() => {}));
    const run = await test.client.start(OrderWorkflow, 'o-3');
    await test.advance('3 days');
    await test.advance('10 minutes');
    await expect(run.result()).rejects.toMatchObject({ cause: { cause: { name: 'StepTimeoutError' } } });
    charge.restore();
    ship.restore();
  });

  it('sends a signal once the run waits for it', async () => {
    const run = await test.client.start(ApprovalWorkflow);
    await test.signalWhenWaiting(run, approved, { by: 'ann' });
    expect(await run.result()).toBe('approved by ann');
    await expect(test.signalWhenWaiting(run, approved, { by: 'bob' })).rejects.toThrow(WorkflowTestError);
  });

  it('lets the timeout of a signal pass', async () => {
    const run = await test.client.start(ApprovalWorkflow);
    await test.advance('2 days');
    expect(await run.result()).toBe('timed out');
  });

  it('wakes a loop of thirty days at each day', async () => {
    const begin = test.now().getTime();
    const run = await test.client.start(SubscriptionWorkflow, 30);
    await test.advance('30 days');
    expect(await run.result()).toEqual(Array.from({ length: 30 }, (_, day) => begin + (day + 1) * DAY));
  });

  it('begins a delayed run at its time', async () => {
    const at = test.now().getTime() + 5 * DAY;
    const run = await test.client.start(SubscriptionWorkflow, 1, { delay: '4 days' });
    await test.advance('6 days');
    expect(await run.result()).toEqual([at]);
  });

  it('fails a run that reads the clock', async () => {
    const run = await test.client.start(ClockReader);
    await expect(run.result()).rejects.toMatchObject({ cause: { code: 'REPLAY_DIFFERENCE' } });
  });

  it('fakes a step of a provider of which each run has its own instance', async () => {
    const fake = test.fakeStep(TenantService, 'tenant', () => 'fake');
    expect(await test.client.execute(TenantWorkflow)).toBe('fake');
    fake.restore();
    expect(await test.client.execute(TenantWorkflow)).toBe('real');
  });

  it('refuses to fake a method that is no step, or whose class is no provider', () => {
    class Elsewhere {
      @Step()
      async step(): Promise<void> {}
    }
    expect(() => test.fakeStep(OrderWorkflow, 'run', async () => ({ charge: '', shipped: '', at: START }))).toThrow('no @Step()');
    expect(() => test.fakeStep(Elsewhere, 'step', async () => undefined)).toThrow('provider of the application');
  });
});
