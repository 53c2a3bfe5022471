// npm run sample:saga: charges and ships orders, and undoes the orders that fail. See README.md.
import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';
import { startEmbeddedPostgres, WorkflowClient } from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { AppModule } from './app.module.js';
import { Bank } from './bank.js';
import { OrderWorkflow, Warehouse, type Order } from './order.workflow.js';
import { Reservation } from './reservation.entity.js';

async function main(): Promise<void> {
  const server = process.env['DATABASE_URL'] ? undefined : await startEmbeddedPostgres();
  if (server) process.env['DATABASE_URL'] = server.url;
  try {
    await play();
  } finally {
    await server?.stop();
  }
}

async function play(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  try {
    const client = app.get(WorkflowClient);
    const bank = app.get(Bank);
    const reservations = app.get(DataSource).getRepository(Reservation);
    await reservations.clear();
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
    console.log(`orders with reserved goods: ${(await reservations.find()).map(({ orderNumber }) => orderNumber).join(', ')}`);
  } finally {
    await app.close();
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
