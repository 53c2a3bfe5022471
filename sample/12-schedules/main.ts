// npm run sample:schedules: a nightly report for each tenant, a schedule in the code, and what
// happens on the days on which clocks change. See README.md.
import 'reflect-metadata';

import { setTimeout as sleep } from 'node:timers/promises';

import { NestFactory } from '@nestjs/core';
import { WorkflowClient } from 'nestjs-durable';

import { AppModule } from './app.module.js';
import { openDatabase } from './database.js';
import { TenantsService } from './tenants.service.js';

async function main(): Promise<void> {
  const database = await openDatabase();
  try {
    await play(database.url);
  } finally {
    await database.remove();
  }
}

async function play(databaseUrl: string): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(databaseUrl), { logger: ['error'], abortOnError: false });
  app.enableShutdownHooks();
  try {
    const client = app.get(WorkflowClient);
    const { schedules } = client;

    console.log('Three tenants, each with a report at half past two at night');
    const tenants = app.get(TenantsService);
    await tenants.add({ id: 'acme', timezone: 'Europe/Berlin' });
    await tenants.add({ id: 'yamada', timezone: 'Asia/Tokyo' });
    await tenants.add({ id: 'lucky bay', timezone: 'Australia/Lord_Howe' });
    for (const { name, timezone, next } of await schedules.list({ workflow: 'report' }))
      console.log(`  ${name}: next at ${next!.toISOString()} (${timezone})`);

    console.log('\nBerlin has no half past two on 28 March 2027: the report comes at the end of the gap');
    const march = { count: 3, from: new Date('2027-03-26T12:00:00Z') };
    for (const due of schedules.preview({ cron: '30 2 * * *', timezone: 'Europe/Berlin' }, march)) console.log(`  ${due.toISOString()}`);

    console.log('\nThe reports of three past days, without the one that exists already');
    await schedules.backfill('report-acme', { from: new Date('2026-10-25T00:00:00Z'), to: new Date('2026-10-26T00:00:00Z') });
    const period = { from: new Date('2026-10-24T00:00:00Z'), to: new Date('2026-10-27T00:00:00Z') };
    for (const runId of await schedules.backfill('report-acme', period))
      console.log(`  ${runId}: ${String(await client.getHandle(runId).result())}`);

    console.log('\nA schedule in the code');
    const heartbeat = await until(async () => {
      const found = await schedules.get('heartbeat');
      return found.runs.length >= 2 ? found : undefined;
    });
    for (const { runId } of heartbeat.runs.slice(0, 2).toReversed()) console.log(`  ${String(await client.getHandle(runId).result())}`);

    await schedules.pause('heartbeat', { reason: 'the sample ends' });
    const { state, pauseReason } = await schedules.get('heartbeat');
    console.log(`  ${state}: ${pauseReason}`);
  } finally {
    await app.close();
  }
}

async function until<T>(read: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 120_000;
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error('The sample waited for two minutes in vain');
    await sleep(100);
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
