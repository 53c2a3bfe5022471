// npm run sample:limits: reports with limits for each tenant, a debounced search index, and mails
// in batches. See README.md.
import 'reflect-metadata';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';

import { MailWorkflow, most, ReindexWorkflow, ReportWorkflow } from './tenants.workflow.js';

const TENANTS = ['acme', 'yamada', 'lucky bay'];

const url = process.env['DATABASE_URL'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: url ? { url } : { embedded: true },
      schema: 'durable_limits',
      worker: {},
      queues: {
        default: {},
        reports: { concurrency: 8, key: { concurrency: 1, rateLimit: { limit: 10, period: '1s' } } },
      },
    }),
  ],
  providers: [ReportWorkflow, ReindexWorkflow, MailWorkflow],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  try {
    await play(app.get(WorkflowClient));
  } finally {
    await app.close();
  }
}

async function play(client: WorkflowClient): Promise<void> {
  console.log('Acme orders 12 reports, and then the others order 4 each: one at a time for each tenant, at most 10 a second');
  const orders = TENANTS.flatMap((tenant, index) => Array.from({ length: index === 0 ? 12 : 4 }, (_, number) => ({ tenant, number })));
  const reports = await client.startMany(ReportWorkflow, orders);
  const ended: string[] = [];
  await Promise.all(reports.map(async (report) => ended.push(await report.result())));
  const lastOf = (tenant: string): number => ended.findLastIndex((report) => report.startsWith(tenant)) + 1;
  for (const tenant of TENANTS)
    console.log(`  ${tenant}: at most ${most.get(tenant)} at the same time, the last one was number ${lastOf(tenant)} of ${ended.length}`);

  console.log('\nA document changes five times: its index is updated once');
  const changes = [1, 2, 3, 4, 5].map((revision) =>
    client.start(ReindexWorkflow, { tenant: 'acme', revision }, { debounce: { key: 'acme', period: '500ms', maxWait: '5s' } }),
  );
  const updates = await Promise.all((await Promise.all(changes)).map((handle) => handle.result()));
  console.log(`  ${[...new Set(updates)].join(', ')}`);

  console.log('\nSix mails: a full batch, and the rest after a second');
  const mails = await client.startMany(MailWorkflow, ['ann', 'bob', 'cid', 'dan', 'eve', 'fay']);
  for (const mail of mails) console.log(`  ${await mail.result()}`);
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
