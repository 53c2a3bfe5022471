import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';
import pg from 'pg';

import { logger, reportTroubles, say, send } from './process-log.js';
import { SETTINGS_VARIABLE, type ChaosWorkerSettings, type WorkerMessage, type WorkerRequest } from './worker-messages.js';
import { bankOf, limitsOf, startAsked, workflowsOf } from './workload.js';
import { countIn } from './workflows.js';

const settings = JSON.parse(process.env[SETTINGS_VARIABLE]!) as ChaosWorkerSettings;

reportTroubles();

@Module({
  imports: [
    bankOf(settings.url),
    WorkflowModule.forRoot({
      ...limitsOf(settings.workload),
      connection: { url: settings.url },
      deploymentId: 'chaos',
      worker: { concurrency: 20, sessionTtl: '2s', suspendAfter: '300ms', shutdownTimeout: '700ms' },
    }),
  ],
  providers: workflowsOf(settings.workload),
})
class ChaosModule {}

async function main(): Promise<void> {
  const pool = new pg.Pool({ connectionString: settings.countUrl, application_name: 'chaos-count', max: 4 });
  pool.on('error', () => undefined);
  countIn(pool);
  const app = await NestFactory.createApplicationContext(ChaosModule, { logger, abortOnError: false });
  app.enableShutdownHooks();
  const client = app.get(WorkflowClient);
  process.on('message', (request: WorkerRequest) => {
    if (request.kind === 'memory') {
      globalThis.gc?.();
      globalThis.gc?.();
      return send<WorkerMessage>({ kind: 'memory', heapUsed: process.memoryUsage().heapUsed });
    }
    const { id } = request;
    startAsked(client, request).then(
      (runId) => send<WorkerMessage>({ kind: 'started', id, runId }),
      (error: unknown) => send<WorkerMessage>({ kind: 'refused', id, error: String(error) }),
    );
  });
  send<WorkerMessage>({ kind: 'ready' });
}

main().catch((error: unknown) => {
  say(`BOOT ${String(error)}`);
  process.exit(1);
});
