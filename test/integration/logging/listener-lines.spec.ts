import { Injectable, type LoggerService } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { OnRunEvent, Workflow, WorkflowClient, WorkflowModule, type RunEventOf } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'quick' })
class Quick {
  async run(): Promise<void> {}
}

let written: string[] = [];

@Injectable()
class Ledger {
  @OnRunEvent('run.completed')
  async refuse(): Promise<void> {
    throw new Error('the ledger is closed');
  }

  @OnRunEvent('run.completed', { durable: true })
  async write({ runId }: RunEventOf<'run.completed'>): Promise<void> {
    written.push(runId);
  }
}

describe('the log of failed listeners', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await closeApplications();
    written = [];
  });
  afterAll(() => database.drop());

  it('has maxAttempts for a call, and none for the run of a durable listener, whose start is tried until it succeeds', async () => {
    const records: Record<string, unknown>[] = [];
    const note = (message: unknown): void => void records.push(JSON.parse(JSON.stringify(message)) as Record<string, unknown>);
    // The property `logger` marks a logger that writes JSON.
    const logger = { log: () => undefined, warn: note, error: note, logger: {} } as LoggerService;
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
    const client = (await bootApplication({ imports, providers: [Quick, Ledger] }, logger)).get(WorkflowClient);
    await database.query(`CREATE FUNCTION durable.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'no run of a listener'; END $$`);
    await database.query(`CREATE TRIGGER refuse BEFORE INSERT ON durable.workflow_runs FOR EACH ROW
      WHEN (starts_with(NEW.name, 'durable-listener:')) EXECUTE FUNCTION durable.refuse()`);

    await client.execute(Quick, undefined, { id: 'quick' });

    const failedOn = (subject: string): Record<string, unknown>[] =>
      records.filter(({ code, message }) => code === 'listener-failed' && String(message).includes(subject));
    await waitFor(() => failedOn('Ledger.refuse failed').length > 0 && failedOn('run that calls Ledger.write').length > 0);
    expect(failedOn('Ledger.refuse failed')[0]).toMatchObject({ workflow: 'quick', runId: 'quick', attempt: 1, maxAttempts: 5 });
    const [start] = failedOn('run that calls Ledger.write');
    expect(start).toMatchObject({ workflow: 'quick', runId: 'quick', attempt: 1 });
    expect(start).not.toHaveProperty('maxAttempts');

    // More attempts than a call would get.
    await database.query(`UPDATE durable.workflow_run_events SET attempts = 40 WHERE listener LIKE 'Ledger.write %'`);
    await database.query('DROP TRIGGER refuse ON durable.workflow_runs');
    await waitFor(() => written.length > 0, { timeoutMs: 30_000 });
    expect(written).toEqual(['quick']);
  });
});
