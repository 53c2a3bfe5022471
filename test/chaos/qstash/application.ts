import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';
import pg from 'pg';

import { logger, reportTroubles, say, send } from '../process-log.js';
import type { WorkerMessage, WorkerRequest } from '../worker-messages.js';
import { countIn, sufferFrom } from '../workflows.js';
import { bankOf, limitsOf, startAsked, workflowsOf } from '../workload.js';
import { crashBySeed } from './crashes.js';
import { APPLICATION_VARIABLE, SESSION_TTL_MS, type ApplicationSettings, type Listening } from './settings.js';

const settings = JSON.parse(process.env[APPLICATION_VARIABLE]!) as ApplicationSettings;
const { qstash, targetUrl } = settings;

reportTroubles();

@Module({
  imports: [
    bankOf(settings.url),
    WorkflowModule.forRoot({
      ...limitsOf(settings.workload),
      transport: settings.transport,
      connection: { url: settings.url },
      deploymentId: 'chaos',
      qstash: {
        url: qstash.QSTASH_URL,
        token: qstash.QSTASH_TOKEN,
        currentSigningKey: qstash.QSTASH_CURRENT_SIGNING_KEY,
        nextSigningKey: qstash.QSTASH_NEXT_SIGNING_KEY,
        targetUrl,
        timeBudget: '1s',
      },
      worker: { sessionTtl: SESSION_TTL_MS, shutdownTimeout: '2s' },
    }),
  ],
  providers: workflowsOf(settings.workload),
})
class ChaosModule {}

async function main(): Promise<void> {
  const pool = new pg.Pool({ connectionString: settings.url, application_name: 'chaos-count', max: 4, allowExitOnIdle: true });
  pool.on('error', () => undefined);
  countIn(pool);
  sufferFrom(crashBySeed(settings.seed, pool));
  const app = await NestFactory.create(ChaosModule, { rawBody: true, logger, abortOnError: false });
  app.enableShutdownHooks([], { useProcessExit: true });
  const client = app.get(WorkflowClient);
  process.on('message', (request: WorkerRequest) => {
    if (request.kind !== 'start') return;
    const { id } = request;
    startAsked(client, request).then(
      (runId) => send<WorkerMessage | Listening>({ kind: 'started', id, runId }),
      (error: unknown) => send<WorkerMessage | Listening>({ kind: 'refused', id, error: String(error) }),
    );
  });
  const server = await app.listen(0, '127.0.0.1');
  send<WorkerMessage | Listening>({ kind: 'listening', port: (server.address() as { port: number }).port });
}

main().catch((error: unknown) => {
  say(`BOOT ${String(error)}`);
  process.exit(1);
});
