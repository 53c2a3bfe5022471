import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';

import { approved, LeafWorkflow, ShopWorkflow, WorkService } from './shop.workflow.js';

const ORDERS = [1, 2, 3, 4, 5, 6];

@Module({
  imports: [WorkflowModule.forRoot({ connection: { url: process.env['DATABASE_URL']! }, worker: {} })],
  providers: [ShopWorkflow, LeafWorkflow, WorkService],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error', 'fatal'] });
// Deno knows fewer signals than Nest's list.
app.enableShutdownHooks(['SIGTERM', 'SIGINT']);
const client = app.get(WorkflowClient);
const handles = await Promise.all(ORDERS.map((order) => client.start(ShopWorkflow, order, { id: `order-${order}` })));
console.log('started');
if (process.env['APPROVE']) await Promise.all(handles.map((handle) => handle.signal(approved, 'ann')));
console.log(`results ${JSON.stringify(await Promise.all(handles.map((handle) => handle.result({ timeout: '60s' }))))}`);
setInterval(() => undefined, 60_000);
