import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';

import {
  InvalidInputError,
  RunAlreadyExistsError,
  Workflow,
  type Duration,
  type StartOptions,
  type WorkflowHandle,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

@Workflow({ name: 'reindex' })
class ReindexWorkflow {
  async run(input: string): Promise<string> {
    return `indexed ${input}`;
  }
}

@Workflow({ name: 'other' })
class OtherWorkflow {
  async run(): Promise<string> {
    return 'other';
  }
}

class Rollback extends Error {}

describe('starts with debounce', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [ReindexWorkflow, OtherWorkflow], configured(), [
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
    app.client.start(ReindexWorkflow, input, { debounce: { key, period }, ...options });
  const executed = (): Promise<number> => app.client.count({ name: 'reindex', status: 'completed' });
  /** Resolves once every start that a transaction has committed is decided. */
  const decided = (): Promise<unknown> =>
    waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_start_requests')).length === 0);

  it('executes one run with the last input, and the handles of all calls name it', async () => {
    const handles = await Promise.all(Array.from({ length: 20 }, (_, index) => call('doc-1', `${index}`)));
    handles.push(await call('doc-1', 'again'), await call('doc-1', 'last', 50));
    expect(new Set(handles.map(({ runId }) => runId)).size).toBe(1);
    expect(handles.filter(({ created }) => created)).toHaveLength(1);
    await expect(Promise.all(handles.map((handle) => handle.result()))).resolves.toEqual(handles.map(() => 'indexed last'));
    expect(await executed()).toBe(1);
  });

  it('begins a new run once the last one has become due', async () => {
    const first = await call('doc-2', 'first', 10);
    await first.result();
    const second = await call('doc-2', 'second', 10);
    expect(second).toMatchObject({ created: true });
    expect(second.runId).not.toBe(first.runId);
    await expect(second.result()).resolves.toBe('indexed second');
  });

  it('loses no call while runs become due: the last input is always executed last', async () => {
    let last: WorkflowHandle<string> | undefined;
    for (let index = 0; index < 60; index++) last = await call('doc-3', `${index}`, 10);
    await expect(last!.result()).resolves.toBe('indexed 59');
    await waitFor(async () => (await app.client.count({ name: 'reindex' })) === (await executed()));
  });

  it('executes the run after maxWait although the calls never pause', async () => {
    const first = await app.client.start(ReindexWorkflow, 'first', { debounce: { key: 'doc-4', period: '1h', maxWait: '1h' } });
    let isDone = false;
    const result = first.result().finally(() => (isDone = true));
    // A later call may shorten both times.
    await waitFor(async () => {
      await app.client.start(ReindexWorkflow, 'more', { debounce: { key: 'doc-4', period: 500, maxWait: 1_000 } });
      return isDone;
    });
    await expect(result).resolves.toBe('indexed more');
  });

  it('keeps keys, workflows and plain starts apart', async () => {
    const handles = [
      await call('doc-5', 'a', 10),
      await call('doc-6', 'b', 10),
      await app.client.start(OtherWorkflow, undefined, { debounce: { key: 'doc-5', period: 10 } }),
      await app.client.start(ReindexWorkflow, 'plain'),
    ];
    const results = await Promise.all(handles.map((handle) => handle.result()));
    expect(results).toEqual(['indexed a', 'indexed b', 'other', 'indexed plain']);
  });

  it('startMany merges the inputs with equal keys, with tags, ids and priorities', async () => {
    const handles = await app.client.startMany(ReindexWorkflow, ['a', 'b', 'c'], (input) => ({
      debounce: { key: 'doc-7', period: '1h' },
      tags: { [input]: input },
      priority: 3,
      ...(input === 'a' ? { id: 'chosen' } : {}),
    }));
    expect(handles.map(({ runId }) => runId)).toEqual(['chosen', 'chosen', 'chosen']);
    expect(await app.client.describe('chosen')).toMatchObject({
      input: 'c',
      priority: 3,
      tags: { a: 'a', b: 'b', c: 'c' },
      status: 'waiting',
    });
    await expect(app.client.start(OtherWorkflow, undefined, { id: 'chosen', debounce: { key: 'x', period: 10 } })).rejects.toBeInstanceOf(
      RunAlreadyExistsError,
    );
  });

  it('a cancelled run does not take further calls', async () => {
    const first = await call('doc-8', 'first');
    await first.cancel();
    const second = await call('doc-8', 'second', 10);
    expect(second.created).toBe(true);
    await expect(second.result()).resolves.toBe('indexed second');
  });

  describe('in a transaction', () => {
    it('counts from the commit, and holds up no other call until then', async () => {
      const before = await call('doc-9', 'before');
      let outside: WorkflowHandle<string> | undefined;
      const inside = await dataSource.transaction(async (manager) => {
        const handle = await call('doc-9', 'inside', '1h', { manager });
        outside = await call('doc-9', 'outside');
        expect(outside.runId).toBe(before.runId);
        return handle;
      });
      await decided();
      expect((await before.describe()).input).toBe('inside');
      const last = await call('doc-9', 'last', 50);
      const handles = [before, inside, outside!, last];
      await expect(Promise.all(handles.map((handle) => handle.result()))).resolves.toEqual(handles.map(() => 'indexed last'));
      expect(await inside.status()).toBe('completed');
      expect(await executed()).toBe(1);
    });

    it('makes the run that counts when no other run waits', async () => {
      const [first, second] = await dataSource.transaction(async (manager) => [
        await call('doc-10', 'first', '1h', { manager }),
        await call('doc-10', 'second', '1h', { manager, id: 'own id' }),
      ]);
      // The run must not become due between the two decisions, however slow the machine is.
      await decided();
      await database.query(`UPDATE durable.workflow_runs SET wake_at = now() WHERE status = 'waiting'`);
      await expect(first.result()).resolves.toBe('indexed second');
      await expect(second.result()).resolves.toBe('indexed second');
      expect(await executed()).toBe(1);
    });

    it('leaves nothing when the transaction is rolled back', async () => {
      const rolledBack = dataSource.transaction(async (manager) => {
        await call('doc-11', 'never', 10, { manager });
        throw new Rollback();
      });
      await expect(rolledBack).rejects.toBeInstanceOf(Rollback);
      expect(await call('doc-11', 'next', 10)).toMatchObject({ created: true });
    });
  });

  it.each([
    [{ debounce: { key: '', period: 10 } }, 'options.debounce.key'],
    [{ debounce: { key: 'k'.repeat(256), period: 10 } }, 'options.debounce.key'],
    [{ debounce: { key: 1, period: 10 } }, 'options.debounce.key'],
    [{ debounce: { key: 'k' } }, 'options.debounce.period'],
    [{ debounce: { key: 'k', period: 9 } }, 'options.debounce.period'],
    [{ debounce: { key: 'k', period: '367 days' } }, 'options.debounce.period'],
    [{ debounce: { key: 'k', period: 100, maxWait: 99 } }, 'options.debounce.maxWait'],
    [{ debounce: { key: 'k', period: 100, maxwait: 200 } }, 'options.debounce.maxwait'],
    [{ debounce: 'k' }, 'options.debounce'],
    [{ debounce: { key: 'k', period: 10 }, throttle: { key: 'k', period: 10 } }, 'options.throttle'],
    [{ debounce: { key: 'k', period: 10 }, delay: 5 }, 'options.delay'],
    [{ debounce: { key: 'k', period: 10 }, startAt: new Date() }, 'options.startAt'],
    [{ debounce: { key: 'k', period: 10 }, onConflict: 'reject' }, 'options.onConflict'],
  ])('refuses %j and names %s', async (options, argument) => {
    const started = app.client.start(ReindexWorkflow, 'refused', options as StartOptions);
    await expect(started).rejects.toBeInstanceOf(InvalidInputError);
    await expect(started).rejects.toMatchObject({ argument });
    expect(await app.client.count({ name: 'reindex' })).toBe(0);
  });
});
