import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { WorkflowModule } from 'nestjs-durable';

import { Order } from './order.entity.js';
import { OrderWorkflow } from './order.workflow.js';
import { OrdersController } from './orders.controller.js';
import { PaymentService } from './payment.service.js';

@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      useFactory: () => ({ type: 'postgres' as const, url: process.env['DATABASE_URL'], entities: [Order], synchronize: true }),
    }),
    WorkflowModule.forRoot({ http: { streams: { guards: [] } } }),
  ],
  controllers: [OrdersController],
  providers: [OrderWorkflow, PaymentService],
})
export class AppModule {}
