// The test kit under node:test, with its fake timers.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Test } from '@nestjs/testing';
import { runInMemory, WorkflowTest } from 'nestjs-durable/testing';

import { AppModule } from './dist/app.module.js';
import { OrderWorkflow } from './dist/order.workflow.js';
import { PaymentService } from './dist/payment.service.js';

const order = { id: 7, cents: 4200 };
const receipt = { payment: 'PAY-7', tracking: 'TRACK-7' };

test('tests a whole application while node:test fakes timers', async () => {
  mock.timers.enable();
  const kit = await WorkflowTest.create(Test.createTestingModule({ imports: [AppModule] }));
  try {
    const run = await kit.client.start(OrderWorkflow, order);
    await kit.advance('1 day');
    assert.deepEqual(await run.result(), receipt);
  } finally {
    await kit.close();
    mock.timers.reset();
  }
});

test('executes a workflow without a database', async () => {
  const { output } = await runInMemory(OrderWorkflow, order, { providers: [PaymentService] });
  assert.deepEqual(output, receipt);
});
