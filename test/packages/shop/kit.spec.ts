import { Test } from '@nestjs/testing';
import { WorkflowModule } from 'nestjs-durable';
import { replayHistory, runInMemory, WorkflowTest } from 'nestjs-durable/testing';
import { DataSource } from 'typeorm';

import { AppModule } from './app.module.js';
import { Order } from './order.entity.js';
import { OrderWorkflow } from './order.workflow.js';
import { PaymentService } from './payment.service.js';

const order: Order = { id: 7, cents: 4200 };

describe('the test kit of the installed package', () => {
  it('tests a whole application, whose DataSource leads to the database of the test', async () => {
    const test = await WorkflowTest.create(Test.createTestingModule({ imports: [AppModule] }));
    try {
      const charge = test.fakeStep(PaymentService, 'charge', async ({ id }) => `FAKE-${id}`);
      await test.module.get(DataSource).getRepository(Order).save(order);
      const run = await test.client.start(OrderWorkflow, order);
      await test.runUntilIdle();
      expect(await run.status()).toBe('waiting');
      await test.advance('50ms');
      expect(await run.result()).toEqual({ payment: 'FAKE-7', tracking: 'TRACK-7' });
      expect(charge.calls).toEqual([[order]]);
      await replayHistory(OrderWorkflow, await test.client.exportHistory(run.runId), { providers: [PaymentService] });
    } finally {
      await test.close();
    }
  }, 60_000);

  it('gives each application a database of its own', async () => {
    const imports = [WorkflowModule.forRoot({})];
    const create = () => WorkflowTest.create(Test.createTestingModule({ imports, providers: [OrderWorkflow, PaymentService] }));
    const [one, other] = await Promise.all([create(), create()]);
    try {
      await one.client.start(OrderWorkflow, order, { id: 'order-7' });
      expect(await one.client.count({})).toBe(1);
      expect(await other.client.count({})).toBe(0);
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  }, 60_000);

  it('executes a workflow without a database', async () => {
    const run = await runInMemory(OrderWorkflow, order, { providers: [PaymentService], steps: { ship: ({ id }) => `FAKE-${id}` } });
    expect(run.output).toEqual({ payment: 'PAY-7', tracking: 'FAKE-7' });
    expect(run.steps.map(({ stepKey, attempts }) => [stepKey, attempts])).toEqual([
      ['PaymentService.charge', 2],
      ['sleep', 1],
      ['ship', 1],
    ]);
  });
});
