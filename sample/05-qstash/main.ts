// npm run sample:qstash: QStash drives a workflow in an application without a worker.
// See README.md.
import 'reflect-metadata';

import { setTimeout as sleep } from 'node:timers/promises';

import { Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule, type WorkflowHandle } from 'nestjs-durable';

import { DeliveryCounter } from './deliveries.js';
import { OnboardingWorkflow, Systems } from './onboarding.workflow.js';
import { chooseQStash, type ChosenQStash } from './which-qstash.js';

const STEPS = 8;
/** Messages that one run takes: one for its start, one for the end of its sleep. */
const MESSAGES_PER_RUN = 2;
const RESULT_TIMEOUT = '5m';
const CUSTOMERS = ['ann', 'bob', 'cleo', 'dan', 'eve'].map((name) => ({ name, mail: `${name}@example.com` }));

@Module({})
class AppModule {
  static for(qstash: ChosenQStash): DynamicModule {
    const url = process.env['DATABASE_URL'];
    const workflows = WorkflowModule.forRoot({
      transport: 'qstash',
      qstash: qstash.options,
      connection: url ? { url } : { embedded: true },
      schema: 'durable_qstash',
    });
    return { module: AppModule, imports: [workflows], providers: [OnboardingWorkflow, Systems] };
  }
}

async function main(): Promise<void> {
  const qstash = await chooseQStash();
  console.log(`driven by ${qstash.description}`);
  // QStash signs the raw body.
  const app = await NestFactory.create(AppModule.for(qstash), { rawBody: true, logger: ['warn', 'error'], abortOnError: false });
  try {
    const deliveries = new DeliveryCounter();
    app.use(deliveries.middleware);
    await app.listen(qstash.port);
    await play(app.get(WorkflowClient));
    const runs = CUSTOMERS.length;
    const messages = qstash.messages() ?? deliveries.delivered;
    const { executions } = app.get(Systems);
    console.log(`${messages} messages for ${runs} runs of ${STEPS} steps with a sleep: ${messages / runs} per run`);
    console.log(`  ${deliveries.attempts} requests arrived, ${executions.size} steps were executed`);
    const once = executions.size === runs * STEPS && [...executions.values()].every((times) => times === 1);
    if (!once || messages > runs * MESSAGES_PER_RUN)
      throw new Error(`more than ${MESSAGES_PER_RUN} messages per run, or a step not executed once`);
  } finally {
    await app.close();
    await qstash.close();
  }
}

async function play(client: WorkflowClient): Promise<void> {
  const began = performance.now();
  const handles = await client.startMany(OnboardingWorkflow, CUSTOMERS);
  console.log(`started ${handles.length} runs; QStash has a message for each`);
  const ended = new AbortController();
  const reporting = reportSleep(handles, ended.signal);
  const results = await Promise.all(handles.map((handle) => handle.result({ timeout: RESULT_TIMEOUT }))).finally(() => ended.abort());
  await reporting;
  for (const result of results) console.log(`  ${result}`);
  console.log(`all have ended after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}

/**
 * Reports when all runs sleep. They are only rows then, so a platform may freeze or end the
 * application.
 */
async function reportSleep(handles: readonly WorkflowHandle[], ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    const states = await Promise.all(handles.map((handle) => handle.status()));
    if (states.every((status) => status === 'waiting')) {
      console.log('  all sleep, and nothing is executed');
      return;
    }
    await sleep(50);
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
