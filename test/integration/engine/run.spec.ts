import { Injectable } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { currentStep, Step, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

const bodies: string[] = [];

@Injectable()
class PaymentService {
  @Step()
  async charge(amount: number): Promise<string> {
    bodies.push(currentStep().stepKey);
    return `charged ${amount}`;
  }
}

@Workflow({ name: 'order' })
class OrderWorkflow {
  constructor(private readonly payments: PaymentService) {}

  async run(order: { amount: number }, ctx: WorkflowContext): Promise<{ charge: string; shipped: Date }> {
    const charge = await this.payments.charge(order.amount);
    await ctx.sleep('20ms');
    const [shipped] = await Promise.all([this.ship(), ctx.step('mail', () => 'sent')]);
    return { charge, shipped };
  }

  @Step()
  async ship(): Promise<Date> {
    return new Date(0);
  }
}

describe('a run', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it('executes its steps and returns its result', async () => {
    const { client } = await startApplication(database.url, [OrderWorkflow, PaymentService]);
    const handle = await client.start(OrderWorkflow, { amount: 7 });
    await expect(handle.result({ timeout: seconds(30) })).resolves.toEqual({ charge: 'charged 7', shipped: new Date(0) });
    const steps = await handle.steps();
    expect(steps.map((step) => step.stepKey).sort()).toEqual(['PaymentService.charge', 'mail', 'ship', 'sleep']);
    expect(await handle.status()).toBe('completed');
  });

  it('is executed through the poller where eager start is off', async () => {
    const { client } = await startApplication(database.url, [OrderWorkflow, PaymentService], { worker: { eagerStart: false } });
    await expect(client.execute(OrderWorkflow, { amount: 8 })).resolves.toEqual({ charge: 'charged 8', shipped: new Date(0) });
  });
});
