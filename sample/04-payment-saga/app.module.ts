import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { WorkflowModule } from 'nestjs-durable';

import { Bank } from './bank.js';
import { OrderWorkflow, Warehouse } from './order.workflow.js';
import { Reservation } from './reservation.entity.js';

@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      useFactory: () => ({
        type: 'postgres',
        url: process.env['DATABASE_URL'],
        entities: [Reservation],
        synchronize: true,
      }),
    }),
    TypeOrmModule.forFeature([Reservation]),
    WorkflowModule.forRoot({ schema: 'durable_saga', worker: { suspendAfter: 200 } }),
  ],
  providers: [OrderWorkflow, Warehouse, Bank],
})
export class AppModule {}
