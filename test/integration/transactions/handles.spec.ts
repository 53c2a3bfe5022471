import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Starter } from '../../../src/client/starter.js';
import { DataSource, type EntityManager } from 'typeorm';

import {
  InvalidInputError,
  RunNotCommittedError,
  RunNotFoundError,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type WorkflowHandle,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

class Rollback extends Error {}

const questions: readonly [string, (handle: WorkflowHandle) => Promise<unknown>][] = [
  ['result', (handle) => handle.result({ timeout: seconds(30) })],
  ['status', (handle) => handle.status()],
  ['describe', (handle) => handle.describe()],
  ['steps', (handle) => handle.steps()],
  ['cancel', (handle) => handle.cancel()],
];

describe('a run that was started in a transaction', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    // Polls so rarely that a run is executed only after a notification.
    const worker = { pollInterval: '60s', maxPollInterval: '60s' };
    const module = await bootApplication({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url: database.url, extra: { max: 4 } }), WorkflowModule.forRoot({ worker })],
      providers: [GreetWorkflow],
    });
    client = module.get(WorkflowClient);
    dataSource = module.get<DataSource>(getDataSourceToken());
    await dataSource.query(`CREATE TABLE customers (id int PRIMARY KEY);
      CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers DEFERRABLE INITIALLY DEFERRED)`);
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const start = (manager: EntityManager, id: string) => client.start(GreetWorkflow, 'Ada', { id, manager });
  const exists = async (id: string) => (await database.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1', [id])).length === 1;
  const answers = async (handle: WorkflowHandle) => {
    const all: Record<string, unknown> = {};
    for (const [name, ask] of questions) {
      all[name] = await ask(handle).then(
        () => 'answered',
        (error: { code: string }) => error.code,
      );
    }
    return all;
  };
  const all = (answer: string) => Object.fromEntries(questions.map(([name]) => [name, answer]));
  it('rejects every call of its handle with RunNotCommittedError until the commit, and answers afterwards', async () => {
    const handle = await dataSource.transaction(async (manager) => {
      const started = await start(manager, 'open');
      expect(await answers(started)).toEqual(all('RUN_NOT_COMMITTED'));
      const again = await start(manager, 'open');
      expect(again.created).toBe(false);
      expect(await answers(again)).toEqual(all('RUN_NOT_COMMITTED'));
      return started;
    });
    expect(await answers(handle)).toEqual(all('answered'));
  });

  it('is not found by any call after a rollback', async () => {
    let handle: WorkflowHandle | undefined;
    const transaction = dataSource.transaction(async (manager) => {
      handle = await start(manager, 'rolled back');
      throw new Rollback();
    });
    await expect(transaction).rejects.toBeInstanceOf(Rollback);
    expect(await answers(handle!)).toEqual(all('RUN_NOT_FOUND'));
  });

  it('is not found after a commit that fails', async () => {
    let handle: WorkflowHandle | undefined;
    const transaction = dataSource.transaction(async (manager) => {
      handle = await start(manager, 'not committed');
      await manager.query('INSERT INTO orders VALUES (1, 404)');
    });
    await expect(transaction).rejects.toMatchObject({ code: '23503' });
    expect(await answers(handle!)).toEqual(all('RUN_NOT_FOUND'));
  });

  it('is not found when its connection is lost before the commit', async () => {
    let handle: WorkflowHandle | undefined;
    const transaction = dataSource.transaction(async (manager) => {
      handle = await start(manager, 'cut off');
      const [{ pid }] = await manager.query('SELECT pg_backend_pid() AS pid');
      await database.query('SELECT pg_terminate_backend($1)', [pid]);
      await waitFor(async () => (await database.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0);
    });
    await expect(transaction).rejects.toThrow();
    expect(await answers(handle!)).toEqual(all('RUN_NOT_FOUND'));
  });

  it('is readable during the transaction when it existed before', async () => {
    await client.execute(GreetWorkflow, 'Ada', { id: 'before' });
    await dataSource.transaction(async (manager) => {
      const handle = await start(manager, 'before');
      expect(handle.created).toBe(false);
      expect(await answers(handle)).toEqual(all('answered'));
    });
  });

  it('is not found by its handle after its savepoint is rolled back', async () => {
    const handles = await dataSource.transaction(async (outer) => {
      let undone: WorkflowHandle | undefined;
      let deep: WorkflowHandle | undefined;
      const inner = outer.transaction(async (manager) => {
        undone = await start(manager, 'undone');
        // This savepoint is released into a savepoint that is rolled back later.
        deep = await manager.transaction((nested) => start(nested, 'undone deep'));
        await expect(undone.status()).rejects.toBeInstanceOf(RunNotCommittedError);
        throw new Rollback();
      });
      await expect(inner).rejects.toBeInstanceOf(Rollback);
      expect(await answers(undone!)).toEqual(all('RUN_NOT_FOUND'));
      expect(await answers(deep!)).toEqual(all('RUN_NOT_FOUND'));
      const again = await start(outer, 'undone');
      expect(again.created).toBe(true);
      await expect(again.status()).rejects.toBeInstanceOf(RunNotCommittedError);
      return [again, await outer.transaction((manager) => start(manager, 'released'))];
    });
    for (const handle of handles) await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
    expect(await exists('undone deep')).toBe(false);
  });

  it('is not announced when its savepoint is rolled back', async () => {
    const announce = jest.spyOn(Starter.prototype as any, 'announce');
    const told = (): string[][] => announce.mock.calls.map(([runs]) => (runs as { id: string }[]).map(({ id }) => id));
    try {
      await dataSource.transaction(async (outer) => {
        await start(outer, 'told');
        await outer
          .transaction(async (manager) => {
            await start(manager, 'untold');
            throw new Rollback();
          })
          .catch(() => undefined);
        expect(told()).toEqual([]);
      });
      expect(told()).toEqual([['told']]);
    } finally {
      announce.mockRestore();
    }
  });

  it('can be cancelled in the same transaction, with effect at the commit', async () => {
    const handle = await dataSource.transaction(async (manager) => {
      const started = await start(manager, 'cancelled at once');
      await started.cancel({ manager, reason: 'never mind' });
      return started;
    });
    await expect(handle.result({ timeout: seconds(45) })).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED', reason: 'never mind' });
    const { startedAt, status } = await handle.describe();
    expect({ startedAt, status }).toEqual({ startedAt: undefined, status: 'cancelled' });
    expect(await database.query('SELECT 1 FROM durable.workflow_inbox')).toEqual([]);
  });

  it('is not cancelled by a transaction that is rolled back, nor before the commit', async () => {
    const handle = await client.start(GreetWorkflow, 'Ada', { delay: '1h' });
    const transaction = dataSource.transaction(async (manager) => {
      await client.cancel(handle.runId, { manager });
      throw new Rollback();
    });
    await expect(transaction).rejects.toBeInstanceOf(Rollback);
    await dataSource.transaction(async (manager) => {
      await handle.cancel({ manager, actor: 'ada' });
      await expect(handle.status()).resolves.toBe('waiting');
      await expect(client.cancel('nobody', { manager })).rejects.toBeInstanceOf(RunNotFoundError);
    });
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED' });
    await expect(client.cancel(handle.runId, { manager: dataSource.manager })).rejects.toBeInstanceOf(InvalidInputError);
  });

  it('is refused in a read-only transaction', async () => {
    await dataSource.transaction(async (manager) => {
      await manager.query('SET TRANSACTION READ ONLY');
      const error = await start(manager, 'read-only').catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidInputError);
      expect(error).toMatchObject({ argument: 'options.manager', message: expect.stringContaining('read-only') });
      // PostgreSQL aborts the transaction when a statement fails; the next start reports the abort.
      const next = await start(manager, 'read-only').catch((thrown: unknown) => thrown);
      expect(next).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('rolled back') });
    });
    expect(await exists('read-only')).toBe(false);
  });

  it('is refused when its query runner was released, or when its transaction ends during the call', async () => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.rollbackTransaction();
    await runner.release();
    await expect(start(runner.manager, 'released runner')).rejects.toMatchObject({ argument: 'options.manager' });

    const fresh = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    try {
      let unawaited: Promise<unknown> | undefined;
      const transaction = fresh.transaction(async (manager) => {
        unawaited = start(manager, 'unawaited').catch((thrown: unknown) => thrown);
        // Keeps the rollback in the connection's queue until the start reaches its own statement.
        manager.query('SELECT pg_sleep(0.2)').catch(() => undefined);
        throw new Rollback();
      });
      await expect(transaction).rejects.toBeInstanceOf(Rollback);
      expect(await unawaited).toMatchObject({ argument: 'options.manager' });
      expect(await exists('unawaited')).toBe(false);
    } finally {
      await fresh.destroy();
    }
  });

  it('is executed at once after its DataSource was destroyed and initialized again', async () => {
    const other = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    try {
      await other.transaction((manager) => start(manager, 'first life'));
      await other.destroy();
      await other.initialize();
      const handle = await other.transaction((manager) => start(manager, 'second life'));
      await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
    } finally {
      await other.destroy();
    }
  });

  it('can be started through a connection with another TimeZone and DateStyle', async () => {
    const other = await new DataSource({
      type: 'postgres',
      url: database.url,
      extra: { options: '-c TimeZone=Asia/Tokyo -c DateStyle=German' },
    }).initialize();
    try {
      const handle = await other.transaction((manager) => start(manager, 'from Tokyo'));
      await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
    } finally {
      await other.destroy();
    }
  });
});
