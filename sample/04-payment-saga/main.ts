// npm run sample:saga: orders are charged and shipped, and undone when that fails. See README.md.
import 'reflect-metadata';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';

import { Bank } from './bank.js';
import { OrderWorkflow, Warehouse, type Order } from './order.workflow.js';

const url = process.env['DATABASE_URL'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: url ? { url } : { embedded: true },
      schema: 'durable_saga',
      worker: { suspendAfter: 200 },
    }),
  ],
  providers: [OrderWorkflow, Warehouse, Bank],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  try {
    const client = app.get(WorkflowClient);
    const bank = app.get(Bank);
    const { closed } = app.get(Warehouse);
    closed.add('snail').add('pigeon');

    const place = async (order: Order): Promise<string> => {
      console.log(`order ${order.number}, by ${order.carriers.join(' or ')}:`);
      const handle = await client.start(OrderWorkflow, order);
      const ending = await handle.result({ timeout: '30s' }).catch((error: Error) => error.message);
      console.log(`  => ${ending}; the bank holds ${bank.balance}`);
      return handle.runId;
    };

    await place({ number: 1, cents: 500, carriers: ['snail', 'rider'] });
    const undone = await place({ number: 2, cents: 700, carriers: ['snail', 'pigeon'] });
    await client.retry(undone).catch((error: Error) => console.log(`  ${error.message}`));

    bank.isOpen = false;
    const stuck = await place({ number: 3, cents: 900, carriers: [] });
    bank.isOpen = true;
    console.log('the bank is open again, and an operator retries the run:');
    await client.retry(stuck, { actor: 'ann', reason: 'the bank is open' });
    const ending = await client
      .getHandle(stuck)
      .result({ timeout: '30s' })
      .catch((error: Error) => error.message);
    console.log(`  => ${String(ending)}; the bank holds ${bank.balance}`);
    const steps = await client.steps(stuck);
    console.log(`recorded: ${steps.map(({ stepKey }) => stepKey).join(', ')}`);
  } finally {
    await app.close();
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
