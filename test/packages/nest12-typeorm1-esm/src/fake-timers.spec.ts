import { Test } from '@nestjs/testing';
import { WorkflowModule } from 'nestjs-durable';
import { WorkflowTest } from 'nestjs-durable/testing';
import { vi } from 'vitest';

import { OrderWorkflow } from './order.workflow.js';
import { PaymentService } from './payment.service.js';

describe('the test kit beside the fake timers of Vitest', () => {
  it('works with their defaults', async () => {
    vi.useFakeTimers();
    const imports = [WorkflowModule.forRoot({})];
    const test = await WorkflowTest.create(Test.createTestingModule({ imports, providers: [OrderWorkflow, PaymentService] }));
    try {
      const run = await test.client.start(OrderWorkflow, { id: 7, cents: 4200 });
      await test.advance('1 day');
      expect(await run.result()).toEqual({ payment: 'PAY-7', tracking: 'TRACK-7' });
      vi.useFakeTimers({ toFake: ['queueMicrotask'] });
      await expect(test.advance('1 day')).rejects.toThrow('queueMicrotask');
    } finally {
      vi.useRealTimers();
      await test.close();
    }
  }, 60_000);
});
