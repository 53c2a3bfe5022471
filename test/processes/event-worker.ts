import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { defineEvent, Workflow, WorkflowModule, type WorkflowContext } from '../../src/index.js';

export const opened = defineEvent<number>('opened');

@Workflow({ name: 'visitor' })
export class Visitor {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForEvent(opened);
  }
}

@Module({
  imports: [
    WorkflowModule.forRoot({ connection: { url: process.env['EVENT_WORKER_URL'] ?? '' }, worker: { suspendAfter: 20, sessionTtl: '2s' } }),
  ],
  providers: [Visitor],
})
class EventWorkerModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(EventWorkerModule, { logger: ['error'], abortOnError: false });
  await app.init();
  process.stdout.write('ready\n');
}

if (process.env['EVENT_WORKER_URL']) {
  main().catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
}
