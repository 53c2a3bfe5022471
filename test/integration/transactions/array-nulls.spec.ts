import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';

import { defineSignal, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const go = defineSignal<number>('go');

@Workflow({ name: 'waits' })
class WaitsWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

describe('calls in a transaction of a session with array_nulls off', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    const extra = { options: '-c array_nulls=off' };
    const module = await bootApplication({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url: database.url, extra }), WorkflowModule.forRoot({ worker: {} })],
      providers: [WaitsWorkflow],
    });
    client = module.get(WorkflowClient);
    dataSource = module.get<DataSource>(getDataSourceToken());
    expect(await dataSource.query('SHOW array_nulls')).toEqual([{ array_nulls: 'off' }]);
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('start and signal runs as in any other session', async () => {
    const startAt = new Date(Date.now() + 3_600_000);
    await dataSource.transaction(async (manager) => {
      await client.start(WaitsWorkflow, undefined, { id: 'NULL', manager });
      await client.start(WaitsWorkflow, undefined, { id: 'later', manager, startAt, timeout: '1h', tags: { customer: 'NULL' } });
      await client.startMany(WaitsWorkflow, [undefined, undefined], (_, index) => ({
        id: `many-${index}`,
        manager,
        delay: index * 3_600_000,
      }));
    });
    const sql = `SELECT id, wake_at IS NOT NULL AS "isLater", deadline_at - wake_at = interval '1 hour' AS "hasDeadline", timeout_ms AS "timeoutMs", deployment_id AS deployment
      FROM durable.workflow_runs ORDER BY id COLLATE "C"`;
    const none = { hasDeadline: null, timeoutMs: null, deployment: expect.any(String) };
    expect(await database.query(sql)).toEqual([
      { id: 'NULL', isLater: false, ...none },
      { id: 'later', isLater: true, hasDeadline: true, timeoutMs: expect.anything(), deployment: expect.any(String) },
      { id: 'many-0', isLater: false, ...none },
      { id: 'many-1', isLater: true, ...none },
    ]);
    expect((await client.describe('later')).wakeAt).toEqual(startAt);
    await dataSource.transaction((manager) => client.signal('NULL', go, 7, { manager }));
    expect(await client.getHandle('NULL').result()).toBe(7);
  });

  it('cancel a run of the same transaction', async () => {
    await dataSource.transaction(async (manager) => {
      await client.start(WaitsWorkflow, undefined, { id: 'cancelled', manager, delay: '1h' });
      await client.cancel('cancelled', { manager });
    });
    expect(await client.status('cancelled')).toBe('cancelled');
  });
});
