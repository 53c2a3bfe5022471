import { expect, it } from '@jest/globals';
import { runInMemory, sent } from 'nestjs-durable/testing';

import { approved, OrderWorkflow, PaymentService } from './order.workflow.js';

const payments = { provide: PaymentService, useValue: { charge: async () => 'payment 7' } };

it('charges and ships an approved order', async () => {
  const { output, steps, startedAt, endedAt } = await runInMemory(
    OrderWorkflow,
    { id: 7, cents: 200_000 },
    {
      providers: [payments],
      signals: [sent(approved, { by: 'ann' }, { after: '1 day' })],
      steps: { ship: (payment) => `sent for ${payment}` },
    },
  );
  expect(output).toBe('sent for payment 7');
  expect(steps.map(({ stepKey }) => stepKey)).toEqual(['signal:approved', 'PaymentService.charge:7', 'sleep', 'ship']);
  expect(endedAt.getTime() - startedAt.getTime()).toBe(4 * 86_400_000);
});

it('fails when the payment fails', async () => {
  const { status, error } = await runInMemory(OrderWorkflow, { id: 8, cents: 100 }, { providers: [PaymentService] });
  expect(status).toBe('failed');
  expect(error?.cause).toMatchObject({ message: 'no payments in tests' });
});
