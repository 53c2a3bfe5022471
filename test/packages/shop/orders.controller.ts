import { Body, Controller, Get, Param, Post } from '@nestjs/common';
import { WorkflowClient } from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { Order } from './order.entity.js';
import { OrderWorkflow, type Receipt } from './order.workflow.js';

@Controller('orders')
export class OrdersController {
  constructor(
    private readonly client: WorkflowClient,
    private readonly dataSource: DataSource,
  ) {}

  /** An order of a million or more is refused after its run was started: neither exists then. */
  @Post()
  async place(@Body() order: Order): Promise<{ run: string }> {
    const id = `order-${order.id}`;
    await this.dataSource.transaction(async (manager) => {
      await manager.insert(Order, order);
      await this.client.start(OrderWorkflow, order, { id, manager });
      if (order.cents >= 1_000_000) throw new Error('refused');
    });
    return { run: id };
  }

  @Get(':id')
  async receipt(@Param('id') id: string): Promise<Receipt> {
    return this.client.getHandle(OrderWorkflow, `order-${id}`).result({ timeout: '30s' });
  }
}
