import 'reflect-metadata';
import { Module, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';
import pg from 'pg';

import { SETTINGS_VARIABLE, type ChaosWorkerSettings, type WorkerMessage, type WorkerRequest } from './worker-messages.js';
import { countIn, WORKFLOWS } from './workflows.js';

const settings = JSON.parse(process.env[SETTINGS_VARIABLE]!) as ChaosWorkerSettings;

const say = (line: string): void => void process.stdout.write(`${line.replaceAll('\n', ' |')}\n`);
const tell = (message: WorkerMessage): void => void process.send?.(message, undefined, undefined, () => undefined);

process.on('disconnect', () => process.exit(1));
process.on('unhandledRejection', (error) => say(`UNHANDLED ${error instanceof Error ? error.stack : String(error)}`));
process.on('uncaughtException', (error) => {
  say(`UNCAUGHT ${error.stack}`);
  process.exit(1);
});
process.on('warning', (warning) => say(`WARNING ${warning.stack}`));

const logger: LoggerService = {
  log: () => undefined,
  warn: (message: string) => say(`WARN ${message}`),
  error: (message: string, ...rest: unknown[]) => say(`ERROR ${message} ${rest.map(String).join(' ')}`),
};

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: { url: settings.url },
      deploymentId: 'chaos',
      worker: { concurrency: 20, sessionTtl: '2s', parkAfter: '300ms', shutdownTimeout: '700ms' },
    }),
  ],
  providers: WORKFLOWS,
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
      return tell({ kind: 'memory', heapUsed: process.memoryUsage().heapUsed });
    }
    const { id, name, input, delayMs } = request;
    client.start(name, input, { id, ...(delayMs === 0 ? {} : { delay: delayMs }) }).then(
      () => tell({ kind: 'started', id }),
      (error: unknown) => tell({ kind: 'refused', id, error: String(error) }),
    );
  });
  tell({ kind: 'ready' });
}

main().catch((error: unknown) => {
  say(`BOOT ${String(error)}`);
  process.exit(1);
});
