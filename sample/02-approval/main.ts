// npm run sample:approval: a workflow asks for approval, sends reminders, and continues with the
// answer. See README.md.
import 'reflect-metadata';

import { setTimeout as sleep } from 'node:timers/promises';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';

import { ExpenseWorkflow, Mailer, type Mail } from './expense.workflow.js';

const url = process.env['DATABASE_URL'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: url ? { url } : { embedded: true },
      schema: 'durable_approval',
      // A waiting run is suspended soon, so that the sample shows a run that exists only in the
      // database.
      worker: { suspendAfter: 200 },
    }),
  ],
  providers: [ExpenseWorkflow, Mailer],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  try {
    const client = app.get(WorkflowClient);
    // The boss overlooks the first mail and answers the reminder.
    const reminded = new Promise<Mail>((resolve) => {
      app.get(Mailer).onMail = (mail) => mail.subject.startsWith('reminder') && resolve(mail);
    });

    const handle = await client.start(ExpenseWorkflow, { employee: 'ann', euros: 120 });
    console.log(`started ${handle.runId}`);
    const { token } = await reminded;
    await sleep(500);
    console.log(`  the run is ${await handle.status()}; the boss answers`);
    await client.resumeHook(token, { approved: true, by: 'boss' });

    console.log(`result: ${await handle.result({ timeout: '30s' })}`);
    const steps = await client.steps(handle.runId);
    console.log(`recorded: ${steps.map(({ stepKey }) => stepKey).join(', ')}`);
  } finally {
    await app.close();
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
