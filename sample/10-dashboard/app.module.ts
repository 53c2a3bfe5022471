import { Module } from '@nestjs/common';
import { WorkflowModule } from 'nestjs-durable';

import { LocalGuard } from './local.guard.js';
import {
  AssistantWorkflow,
  CatalogueWorkflow,
  ImportWorkflow,
  OrderWorkflow,
  Payments,
  PictureWorkflow,
  ReceiptWorkflow,
  ReminderWorkflow,
} from './shop.workflows.js';

const url = process.env['DATABASE_URL'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: url ? { url } : { embedded: true },
      schema: 'durable_dashboard',
      worker: {},
      queues: { graphics: { concurrency: 2 }, partners: { rateLimit: { limit: 30, period: '1 minute' } } },
      // The dashboard shows failures.
      logFailures: false,
      http: { dashboard: { guards: [LocalGuard], actor: ({ user }) => String(user) } },
    }),
  ],
  providers: [
    AssistantWorkflow,
    CatalogueWorkflow,
    ImportWorkflow,
    OrderWorkflow,
    Payments,
    PictureWorkflow,
    ReceiptWorkflow,
    ReminderWorkflow,
  ],
})
export class AppModule {}
