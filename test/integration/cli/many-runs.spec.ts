import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { command } from '../../support/command-line.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';
import { OrderWorkflow } from './workflows.js';

describe('a command for many runs', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [OrderWorkflow], { worker: { suspendAfter: 20 } });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('answers without a dry run when there is no run to change', async () => {
    const argv = ['delete', '--tag', 'many=nobody', '--json'];
    const answer = JSON.parse((await command([...argv, '--yes'], { url: database.url })).out);
    expect(answer).toMatchObject({ kind: 'delete', state: 'counted', count: 0, done: 0, skipped: 0 });
    expect(answer).not.toHaveProperty('dryRun');
    expect(JSON.parse((await command([...argv, '--dry-run'], { url: database.url })).out)).toMatchObject({ dryRun: true, count: 0 });
  });

  it('ends when the only worker ends before the operation is completed', async () => {
    await app.client.start(OrderWorkflow, { card: 'good' }, { id: 'locked-1', tags: { many: 'locked' } });
    await waitFor(async () => (await app.client.status('locked-1')) === 'waiting');
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    try {
      await other.query('BEGIN');
      await other.query(`SELECT 1 FROM durable.workflow_runs WHERE id = 'locked-1' FOR UPDATE`);
      const outcome = command(['terminate', '--tag', 'many=locked', '--yes', '--json'], { url: database.url });
      await waitFor(
        async () => (await database.query('SELECT 1 FROM durable.workflow_operations WHERE cardinality(locked) > 0')).length > 0,
      );
      await app.close();
      const { code, out, err } = await outcome;
      expect({ code, err }).toEqual({
        code: 0,
        err: 'No worker is alive any more. The operation continues when a process executes runs.\n',
      });
      expect(JSON.parse(out)).toMatchObject({ state: 'running', count: 1, done: 0, locked: 1 });
    } finally {
      await other.end();
    }
  });
});
