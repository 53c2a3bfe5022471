import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'report' })
class Report {
  async run(_input: unknown, ctx: WorkflowContext): Promise<string | undefined> {
    return ctx.schedule?.dueAt.toISOString();
  }
}

@Workflow({ name: 'other' })
class Other {
  async run(): Promise<void> {}
}

describe('due schedules', () => {
  let app: TestApplication;
  let database: TestDatabase;
  const count = async (sql: string): Promise<number> => Number((await database.query(`SELECT count(*) AS n FROM ${sql}`))[0]!['n']);
  beforeAll(async () => {
    database = await createTestDatabase();
    const postgres = TypeOrmModule.forRoot({ type: 'postgres', url: database.url });
    app = await startApplication(database.url, [Report, Other], { worker: {} }, [postgres]);
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  /** Makes a schedule due for this time. A change by a client then announces the schedule. */
  const makeDue = async (name: string, dueAt: Date): Promise<void> => {
    await database.query('UPDATE durable.workflow_schedules SET due_at = $2, fire_at = $2, anchor_at = $2 WHERE name = $1', [name, dueAt]);
    await app.client.schedules.update(name, { tags: {} });
  };
  /** A due time that has just passed. */
  const justNow = (): Date => new Date(Date.now() - 1_000);

  it('start one run each, when thousands are due at the same moment in three processes', async () => {
    const schedules = 3_000;
    await startApplication(database.url, [Report], { worker: {} });
    await startApplication(database.url, [Report], { worker: {} });
    await app.client.schedules.create('s0', { workflow: Report, every: '1d' });
    // Copies, instead of thousands of calls.
    await database.query(
      `INSERT INTO durable.workflow_schedules (name, workflow, every_ms, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, due_at, fire_at)
       SELECT 's' || n, workflow, every_ms, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, due_at, fire_at
       FROM durable.workflow_schedules, generate_series(1, ${schedules - 1}) AS n WHERE name = 's0'`,
    );
    await database.query(`UPDATE durable.workflow_schedules SET due_at = now(), fire_at = now(), anchor_at = now() WHERE name LIKE 's%'`);
    await waitFor(async () => (await count(`durable.workflow_runs WHERE schedule LIKE 's%' AND status = 'completed'`)) === schedules);
    expect(await count(`durable.workflow_schedules WHERE name LIKE 's%' AND last_run_id IS NOT NULL AND due_at > now()`)).toBe(schedules);
    expect(
      await count(`(SELECT schedule FROM durable.workflow_runs WHERE schedule LIKE 's%' GROUP BY schedule HAVING count(*) > 1) AS twice`),
    ).toBe(0);
  });

  it('start no second run for a due time that another process has computed from other time zone data', async () => {
    const { schedules } = app.client;
    const dueAt = justNow();
    await schedules.create('again', { workflow: Report, every: '1d' });
    for (const time of [1, 2]) {
      await makeDue('again', dueAt);
      await waitFor(async () => (await schedules.get('again')).next! > dueAt, { message: `start ${time}` });
    }
    expect((await schedules.get('again')).runs).toHaveLength(1);
  });

  it('do not hold each other up when one of them cannot start its run, which is tried again', async () => {
    const { schedules } = app.client;
    const dueAt = justNow();
    for (const name of ['broken', 'sound']) await schedules.create(name, { workflow: Report, every: '1d' });
    // A payload that a codec which is not there has encoded.
    await database.query(`UPDATE durable.workflow_schedules SET input = '{"$durable":"encoded","value":"AA"}' WHERE name = 'broken'`);
    await database.query(`UPDATE durable.workflow_schedules SET due_at = $1, fire_at = $1 WHERE name IN ('broken', 'sound')`, [dueAt]);
    await waitFor(async () => (await schedules.get('sound')).runs.length === 1);
    const { lastError, next } = await waitFor(async () => {
      const found = await schedules.get('broken');
      return found.lastError !== undefined ? found : undefined;
    });
    expect(lastError).toContain('codec');
    expect(next).toEqual(dueAt);
    await database.query(`UPDATE durable.workflow_schedules SET input = 'null', fire_at = now() WHERE name = 'broken'`);
    const { runs } = await waitFor(async () => {
      const found = await schedules.get('broken');
      return found.runs.length > 0 ? found : undefined;
    });
    expect(runs.map(({ dueAt }) => dueAt)).toEqual([dueAt]);
    expect((await schedules.get('broken')).lastError).toBeUndefined();
  });

  it('drop a due time whose run id belongs to a run of another workflow', async () => {
    const { schedules } = app.client;
    const dueAt = justNow();
    await app.client.start(Other, undefined, { id: `taken@${dueAt.toISOString()}` });
    await schedules.create('taken', { workflow: Report, every: '1d' });
    await makeDue('taken', dueAt);
    const { next, lastError } = await waitFor(async () => {
      const found = await schedules.get('taken');
      return found.next! > dueAt ? found : undefined;
    });
    expect(next).toEqual(new Date(dueAt.getTime() + 86_400_000));
    expect(lastError).toContain('other');
  });

  it('exist when the transaction that created them commits, and never when it rolls back', async () => {
    const { schedules } = app.client;
    const dataSource = app.module.get<DataSource>(getDataSourceToken());
    const aborted = dataSource.transaction(async (manager) => {
      await schedules.create('aborted', { workflow: Report, every: '1s', manager });
      throw new Error('rolled back');
    });
    await expect(aborted).rejects.toThrow('rolled back');
    await dataSource.transaction((manager) => schedules.create('committed', { workflow: Report, every: '1s', manager }));
    await waitFor(async () => (await schedules.get('committed')).runs.length > 0);
    await schedules.delete('committed');
    await expect(schedules.get('aborted')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND', scheduleName: 'aborted' });
  });
});
