import { Module, type DynamicModule } from '@nestjs/common';
import { WorkflowModule } from 'nestjs-durable';

import { AgentController } from './agent.controller.js';
import { AgentWorkflow } from './agent.workflow.js';
import { SCHEMA } from './database.js';
import { MODEL_URL, ModelService } from './model.service.js';
import { ShopTools } from './shop-tools.service.js';
import { OwnRunsGuard } from './users.js';

@Module({})
export class AppModule {
  static forRoot({ databaseUrl, modelUrl }: { databaseUrl: string; modelUrl: string }): DynamicModule {
    return {
      module: AppModule,
      imports: [
        WorkflowModule.forRoot({
          connection: { url: databaseUrl },
          schema: SCHEMA,
          worker: {},
          // The page shows a run that has failed, so the log does not.
          logFailures: false,
          http: { streams: { guards: [OwnRunsGuard] } },
        }),
      ],
      controllers: [AgentController],
      providers: [AgentWorkflow, ModelService, ShopTools, { provide: MODEL_URL, useValue: modelUrl }],
    };
  }
}
