import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { WorkflowModule } from 'nestjs-durable';
import { WorkflowTest } from 'nestjs-durable/testing';

import { approved, OrderWorkflow, PaymentService } from './order.workflow.js';

let test: WorkflowTest;
beforeAll(async () => {
  // In an application: imports: [AppModule]
  const builder = Test.createTestingModule({ imports: [WorkflowModule.forRoot({})], providers: [OrderWorkflow, PaymentService] });
  test = await WorkflowTest.create(builder);
}, 60_000);
afterAll(() => test.close(), 60_000);

it('ships three days after the payment', async () => {
  const charge = test.fakeStep(PaymentService, 'charge', async (order) => `payment ${order.id}`);
  const run = await test.client.start(OrderWorkflow, { id: 7, cents: 4_200 });
  await test.runUntilIdle();
  expect(await run.status()).toBe('waiting');

  await test.advance('3 days');
  expect(await run.result()).toBe('shipped for payment 7');
  expect(charge.calls).toEqual([[{ id: 7, cents: 4_200 }]]);
  expect((await test.stepsOf(run)).map(({ stepKey }) => stepKey)).toEqual(['PaymentService.charge:7', 'sleep', 'ship']);
});

it('refuses a large order that nobody approves within two days', async () => {
  const run = await test.client.start(OrderWorkflow, { id: 8, cents: 200_000 });
  await test.advance('2 days');
  expect(await run.result()).toBe('refused');
});

it('charges a large order once it is approved', async () => {
  test.fakeStep(PaymentService, 'charge', () => 'payment 9');
  const run = await test.client.start(OrderWorkflow, { id: 9, cents: 200_000 });
  await test.signalWhenWaiting(run, approved, { by: 'ann' });
  await test.advance('3 days');
  expect(await run.result()).toBe('shipped for payment 9');
});
