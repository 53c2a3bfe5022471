import { Injectable } from '@nestjs/common';
import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { OnRunEvent, Workflow, type RunEventOf } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed } from '../support/pushed-application.js';
import { Lines, send, SWEEP } from './requests.js';

const heard: string[] = [];

@Workflow({ name: 'order' })
class Order {
  async run(): Promise<void> {}
}

@Injectable()
class Ear {
  @OnRunEvent('run.completed', { name: 'ear' })
  onCompleted({ runId }: RunEventOf<'run.completed'>): void {
    heard.push(runId);
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

it('a sweep of QStash does its other work when one part fails, names that part, and asks for a repetition', async () => {
  const logger = new Lines();
  const pushed = await startPushed(database.url, [Order, Ear], { logger });
  // Nobody else tells this process of the event.
  await database.query(`INSERT INTO durable.workflow_run_events (run_id, listener, event, facts)
    VALUES ('elsewhere', 'ear run.completed', 'run.completed', '{"workflow":"order","createdAt":0,"startedAt":null}')`);
  await database.query('ALTER TABLE durable.workflow_operations RENAME TO away');
  try {
    expect(await send(pushed, { path: SWEEP })).toMatchObject({ status: 503, body: { status: 'later' } });
  } finally {
    await database.query('ALTER TABLE durable.away RENAME TO workflow_operations');
  }
  expect(heard).toEqual(['elsewhere']);
  expect(logger.lines.filter((line) => line.includes('sweep: could not continue bulk operations'))).toHaveLength(1);
  expect(await send(pushed, { path: SWEEP })).toMatchObject({ status: 200, body: { status: 'swept' } });
});
