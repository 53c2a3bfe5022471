// npm run sample:events: an order waits for its payment, and the payment starts a receipt. See
// README.md.
import 'reflect-metadata';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule, workflowRef } from 'nestjs-durable';

import { orderPaid, OrderWorkflow, ReceiptWorkflow } from './order.workflow.js';

const url = process.env['DATABASE_URL'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: url ? { url } : { embedded: true },
      schema: 'durable_events',
      worker: { suspendAfter: 200 },
    }),
  ],
  providers: [OrderWorkflow, ReceiptWorkflow],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  try {
    const client = app.get(WorkflowClient);
    const id = String(Date.now());
    const order = await client.start(OrderWorkflow, { id, cents: 900 });
    console.log(`order ${id} waits for its payment`);

    // The provider of payments calls twice. The id of its event makes both calls one event.
    for (let call = 1; call <= 2; call++) await client.emit(orderPaid, { orderId: id, cents: 900 }, { id: `stripe-${id}` });

    console.log(await order.result({ timeout: '30s' }));
    const receipts = workflowRef<unknown, string>('receipt');
    let receipt: string | undefined;
    while (receipt === undefined) {
      const { runs } = await client.list({ name: receipts.name, createdAfter: (await order.describe()).createdAt });
      if (runs[0]) receipt = await client.getHandle(receipts, runs[0].runId).result({ timeout: '30s' });
    }
    console.log(receipt);
    const { events } = await client.events.list({ event: orderPaid, key: id });
    console.log(`events of the order: ${events.map((event) => event.id).join(', ')}`);
  } finally {
    await app.close();
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
