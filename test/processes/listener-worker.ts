import { setTimeout as sleep } from 'node:timers/promises';

import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { OnRunEvent, Workflow, WorkflowModule, type RunEventOf, type WorkflowContext } from '../../src/index.js';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const AN_HOUR_MS = 3_600_000;

@Workflow({ name: 'hangs' })
class HangsWorkflow {
  async run(_input: unknown, ctx: WorkflowContext): Promise<void> {
    await ctx.step('hang', async () => {
      say('began');
      await sleep(AN_HOUR_MS);
    });
  }
}

@Workflow({ name: 'elsewhere' })
class ElsewhereWorkflow {
  async run(): Promise<void> {}
}

/** Never returns from its call, so that the process can be killed in the middle of the call. */
@Injectable()
class HangingListener {
  @OnRunEvent('run.completed', { workflow: 'elsewhere', name: 'survivor' })
  async onCompleted({ runId }: RunEventOf<'run.completed'>): Promise<void> {
    say(`called ${runId}`);
    await sleep(AN_HOUR_MS);
  }
}

@Module({
  imports: [WorkflowModule.forRoot({ connection: { url: process.env['LISTENER_WORKER_URL']! }, worker: { queues: ['elsewhere'] } })],
  providers: [HangsWorkflow, ElsewhereWorkflow, HangingListener],
})
class ListenerWorkerModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(ListenerWorkerModule, { logger: ['error'], abortOnError: false });
  await app.init();
  say('ready');
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
