import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { Workflow, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PATIENCE, waitFor } from '../../support/wait.js';

const bodies: string[] = [];
let release: () => void = () => undefined;

@Workflow({ name: 'resting' })
class RestingWorkflow {
  async run(_input: unknown, ctx: WorkflowContext): Promise<void> {
    await ctx.step('first', () => void bodies.push('first'));
    await ctx.step('second', () => {
      bodies.push('second');
      return new Promise<void>((resolve) => (release = resolve));
    });
  }
}

/** Time after which a close counts as hanging. */
const SOON_MS = 5_000 * PATIENCE;

async function soon<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${SOON_MS} ms`)), SOON_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

describe('app.close()', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    release();
    await closeApplications();
    await database.query('TRUNCATE durable.workflow_runs, durable.workflow_steps');
  });
  afterAll(() => database.drop());

  const leftovers = async (): Promise<unknown> => {
    const [row] = await database.query(`SELECT (SELECT count(*)::int FROM durable.workflow_sessions) AS sessions,
      (SELECT count(*)::int FROM durable.workflow_runs WHERE status = 'running') AS running`);
    return row;
  };
  const NOTHING = { sessions: 0, running: 0 };

  it('leaves no connection, no session and no owned run, and can be called twice', async () => {
    const application = await startApplication(database.url, [RestingWorkflow], { worker: { shutdownTimeout: '50ms' } });
    await application.client.start(RestingWorkflow, undefined);
    await waitFor(() => bodies.includes('second'));
    await soon(Promise.all([application.close(), application.close()]));
    await soon(application.close());
    expect(await leftovers()).toEqual(NOTHING);
    await waitFor(async () => {
      const rows = await database.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'nestjs-durable%' AND datname = current_database()`,
      );
      return rows.length === 0;
    });
  });

  it('takes less than a second for an idle application', async () => {
    const took: number[] = [];
    for (let round = 0; round < 5; round++) {
      const application = await startApplication(database.url, [RestingWorkflow]);
      await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_sessions WHERE holds_lock')).length === 1);
      const since = performance.now();
      await application.close();
      took.push(performance.now() - since);
      expect(await leftovers()).toEqual(NOTHING);
    }
    // Only the quickest round counts, because other load may slow a round.
    expect(Math.min(...took)).toBeLessThan(1_000 * PATIENCE);
    if (process.env['DURABLE_TEST_LOG']) console.log(`closed in ${took.map(Math.round).join(', ')} ms`);
  });

  it('leaves no session when it is called right after listen()', async () => {
    @Module({ imports: [WorkflowModule.forRoot({ connection: { url: database.url } })], providers: [RestingWorkflow] })
    class ListeningModule {}
    for (const pause of [0, 1, 5, 20]) {
      const app = await NestFactory.create(ListeningModule, { logger: false });
      await app.listen(0, '127.0.0.1');
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      await soon(app.close());
      expect(await leftovers()).toEqual(NOTHING);
    }
  });

  it('begins no body after it handed its runs back, even when a history loads late', async () => {
    bodies.length = 0;
    const run = await startApplication(database.url, [RestingWorkflow], { worker: { shutdownTimeout: 0 } });
    const handle = await run.client.start(RestingWorkflow, undefined);
    await waitFor(() => bodies.includes('second'));
    await run.close();
    bodies.length = 0;
    // Histories cannot be read while this transaction is open.
    const blocker = new pg.Client({ connectionString: database.url });
    blocker.on('error', () => undefined);
    await blocker.connect();
    await blocker.query('BEGIN; LOCK TABLE durable.workflow_waits IN ACCESS EXCLUSIVE MODE');
    const late = await startApplication(database.url, [RestingWorkflow], { worker: { shutdownTimeout: 0 } });
    await waitFor(async () => (await late.client.status(handle.runId)) === 'running');
    const closing = late.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await blocker.query('COMMIT');
    await blocker.end();
    await soon(closing);
    expect(bodies).toEqual([]);
    expect(await leftovers()).toEqual(NOTHING);
  });
});
