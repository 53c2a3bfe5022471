import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { WorkflowModule, type WorkerOptions } from 'nestjs-durable';

import { SCHEMA } from './database.js';
import { InventoryService } from './inventory.service.js';
import { OrderWorkflow } from './order.workflow.js';
import { OutsideWorld } from './outside-world.js';
import { PaymentService } from './payment.service.js';

@Module({})
export class AppModule {
  /**
   * Builds the same application for every process. With `worker: false` it only starts runs and
   * waits for them.
   */
  static forRoot(url: string, worker: WorkerOptions | false): DynamicModule {
    return {
      module: AppModule,
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 5 }), WorkflowModule.forRoot({ schema: SCHEMA, worker })],
      providers: [OrderWorkflow, PaymentService, InventoryService, OutsideWorld],
    };
  }
}
