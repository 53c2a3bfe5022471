import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';

import { InvalidInputError, Workflow, type Duration, type StartOptions, type WorkflowHandle } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

@Workflow({ name: 'report' })
class ReportWorkflow {
  async run(input: string): Promise<string> {
    return `report ${input}`;
  }
}

describe('starts with throttle', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [ReportWorkflow], configured(), [
      TypeOrmModule.forRoot({ type: 'postgres', url: database.url }),
    ]);
    dataSource = app.module.get<DataSource>(getDataSourceToken());
  });
  beforeEach(() => database.query('DELETE FROM durable.workflow_runs'));
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const call = (key: string, input: string, period: Duration = '1h', options: StartOptions = {}): Promise<WorkflowHandle<string>> =>
    app.client.start(ReportWorkflow, input, { throttle: { key, period }, ...options });

  it('executes one run in the period, which answers the other calls even after its end', async () => {
    const handles = await Promise.all(Array.from({ length: 20 }, () => call('daily', 'first')));
    const results = await Promise.all(handles.map((handle) => handle.result()));
    expect(results).toEqual(handles.map(() => 'report first'));
    const late = await call('daily', 'late');
    expect(late).toMatchObject({ created: false, runId: handles[0]!.runId });
    await expect(late.result()).resolves.toBe('report first');
    expect(handles.filter(({ created }) => created)).toHaveLength(1);
    expect(await app.client.count({ name: 'report' })).toBe(1);
  });

  it('executes another run after the period, and another one for another key', async () => {
    const first = await call('short', 'first', 10);
    const next = await waitFor(async () => {
      const handle = await call('short', 'next', 10);
      return handle.created ? handle : undefined;
    });
    expect(next.runId).not.toBe(first.runId);
    await expect(next.result()).resolves.toBe('report next');
    await expect((await call('another', 'another')).result()).resolves.toBe('report another');
  });

  it('combines with a delay', async () => {
    const handle = await call('delayed', 'later', '1h', { delay: '1h' });
    expect(await handle.status()).toBe('waiting');
    expect(await call('delayed', 'more')).toMatchObject({ created: false, runId: handle.runId });
  });

  it('is decided at the commit of a transaction, and holds up no other call until then', async () => {
    const { first, second } = await dataSource.transaction(async (manager) => {
      const inner = await call('committed', 'first', '1h', { manager });
      const other = await dataSource.transaction((another) => call('committed', 'second', '1h', { manager: another }));
      await expect(other.result()).resolves.toBe('report second');
      return { first: inner, second: other };
    });
    await expect(first.result()).resolves.toBe('report second');
    const executed = await database.query(`SELECT id FROM durable.workflow_runs WHERE status = 'completed' AND continued_as IS NULL`);
    expect(executed).toEqual([{ id: second.runId }]);
    const late = await dataSource.transaction((manager) => call('committed', 'late', '1h', { manager }));
    expect(late).toMatchObject({ created: false, runId: second.runId });
  });

  it.each([
    [{ throttle: { key: '', period: 10 } }, 'options.throttle.key'],
    [{ throttle: { key: 'k', period: 'soon' } }, 'options.throttle.period'],
    [{ throttle: { key: 'k', period: 10, maxWait: 20 } }, 'options.throttle.maxWait'],
    [{ throttle: { key: 'k', period: 10 }, onConflict: 'reject' }, 'options.onConflict'],
  ])('refuses %j and names %s', async (options, argument) => {
    const started = app.client.start(ReportWorkflow, 'refused', options as StartOptions);
    await expect(started).rejects.toBeInstanceOf(InvalidInputError);
    await expect(started).rejects.toMatchObject({ argument });
    expect(await app.client.count({ name: 'report' })).toBe(0);
  });
});
