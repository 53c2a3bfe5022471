import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';
import { WorkflowModule, type RetentionOptions } from 'nestjs-durable';

import { CardProcessor, ChargeWorkflow } from './charge.workflow.js';
import { SCHEMA } from './database.js';
import { HealthController } from './health.controller.js';
import { Incident, IncidentListener } from './incidents.js';
import { ScrapeGuard } from './scrape.guard.js';

@Module({})
export class AppModule {
  /** @param retention times after which ended runs are deleted; by default, ended runs stay */
  static forRoot(url: string, retention?: RetentionOptions): DynamicModule {
    return {
      module: AppModule,
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url, entities: [Incident] }),
        TypeOrmModule.forFeature([Incident]),
        TerminusModule.forRoot({ errorLogStyle: 'json' }),
        WorkflowModule.forRoot({
          schema: SCHEMA,
          worker: {},
          // The listener reports failures, so the log does not repeat them.
          logFailures: false,
          http: { metrics: { guards: [ScrapeGuard] } },
          ...(retention === undefined ? {} : { retention }),
        }),
      ],
      controllers: [HealthController],
      providers: [ChargeWorkflow, CardProcessor, IncidentListener],
    };
  }
}
