// npm run sample:operations: one evening of an on-call engineer, with health, metrics, a listener,
// the redrive of failed runs, and retention. See README.md.
import 'reflect-metadata';

import { setTimeout as sleep } from 'node:timers/promises';

import { NestFactory } from '@nestjs/core';
import { WorkflowClient } from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { AppModule } from './app.module.js';
import { CardProcessor, ChargeWorkflow } from './charge.workflow.js';
import { openDatabase, SCHEMA } from './database.js';
import { Incident } from './incidents.js';
import { SCRAPE_TOKEN } from './scrape.guard.js';

const RETENTION = { completed: '30d', failed: '90d' } as const;

async function main(): Promise<void> {
  const database = await openDatabase();
  try {
    await evening(database.url);
    await monthLater(database.url);
  } finally {
    await database.remove();
  }
}

async function evening(databaseUrl: string): Promise<void> {
  const app = await NestFactory.create(AppModule.forRoot(databaseUrl), { logger: ['error'], abortOnError: false });
  try {
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const client = app.get(WorkflowClient);

    console.log('Six payments, two of them in a currency that the processor does not support');
    const currencies = ['EUR', 'EUR', 'CHF', 'EUR', 'CHF', 'EUR'];
    const handles = await client.startMany(
      ChargeWorkflow,
      currencies.map((currency, index) => ({ currency, cents: 100 * (index + 1) })),
      { tags: { day: 'today' } },
    );
    await Promise.allSettled(handles.map((handle) => handle.result({ timeout: '30s' })));

    console.log('\nThe listener has written the failures to the table "incidents"');
    const incidents = app.get(DataSource).getRepository(Incident);
    await until(async () => (await incidents.count()) === 2);
    for (const { workflow, message } of await incidents.find()) console.log(`  ${workflow}: ${message}`);

    console.log('\nReadiness and metrics');
    const { status, info } = (await (await fetch(`${url}/health/ready`)).json()) as { status: string; info: object };
    console.log(`  GET /health/ready: ${status}, ${JSON.stringify(info)}`);
    console.log(`  GET /health/queues: ${(await fetch(`${url}/health/queues`)).status}`);
    console.log(`  GET /workflow/metrics without the token: ${(await fetch(`${url}/workflow/metrics`)).status}`);
    const headers = { authorization: `Bearer ${SCRAPE_TOKEN}` };
    const metrics = await (await fetch(`${url}/workflow/metrics`, { headers })).text();
    for (const line of metrics.split('\n').filter((each) => each.startsWith('nestjs_durable_runs_ended_total'))) console.log(`  ${line}`);

    console.log('\nThe failed runs, by error');
    for (const group of await client.failures({ since: '1h', groupBy: ['workflow', 'errorCode', 'failedStep'] }))
      console.log(`  ${JSON.stringify(group)}`);

    console.log('\nThe processor supports CHF now: retry what has failed');
    app.get(CardProcessor).supported.add('CHF');
    const filter = { status: 'failed', tags: { day: 'today' } } as const;
    const { count, token } = await client.bulk.retry({ filter, dryRun: true, actor: 'ann', reason: 'CHF is configured' });
    await client.bulk.retry({ token });
    await until(async () => (await client.count({ status: 'completed', tags: { day: 'today' } })) === handles.length);
    console.log(`  ${count} runs retried, and all are completed`);

    await client.execute(ChargeWorkflow, { currency: 'EUR', cents: 5 }, { id: 'kept', tags: { keep: 'true' } });
    await app
      .get(DataSource)
      .query(
        `UPDATE ${SCHEMA}.workflow_runs SET created_at = created_at - interval '31 days', finished_at = finished_at - interval '31 days'`,
      );
    console.log('\nA month passes, and a preview shows what retention would delete');
    console.log(`  to be deleted: ${JSON.stringify(await client.retention.preview(RETENTION))}`);
  } finally {
    await app.close();
  }
}

async function monthLater(databaseUrl: string): Promise<void> {
  console.log('\nThe next deployment has this retention, which deletes the completed runs');
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(databaseUrl, RETENTION), {
    logger: ['error'],
    abortOnError: false,
  });
  try {
    const client = app.get(WorkflowClient);
    await until(async () => (await client.count({})) === 1);
    console.log(`  left: ${(await client.list({})).runs.map(({ runId }) => runId).join(', ')}, which has the tag keep`);
  } finally {
    await app.close();
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 120_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('The sample waited for two minutes in vain');
    await sleep(100);
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
