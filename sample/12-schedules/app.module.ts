import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { WorkflowModule } from 'nestjs-durable';

import { SCHEMA } from './database.js';
import { HeartbeatWorkflow } from './heartbeat.workflow.js';
import { ReportWorkflow } from './report.workflow.js';
import { TenantsService } from './tenants.service.js';

@Module({})
export class AppModule {
  static forRoot(url: string): DynamicModule {
    return {
      module: AppModule,
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url }), WorkflowModule.forRoot({ schema: SCHEMA, worker: {} })],
      providers: [ReportWorkflow, HeartbeatWorkflow, TenantsService],
    };
  }
}
