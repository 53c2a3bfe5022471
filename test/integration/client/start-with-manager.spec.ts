import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource, type EntityManager } from 'typeorm';

import {
  InvalidInputError,
  RunAlreadyExistsError,
  RunNotCommittedError,
  RunNotFoundError,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type StartOptions,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { poolerOptions, reach } from '../../support/pooler.js';
import { PATIENCE, seconds, waitFor } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

@Workflow({ name: 'other' })
class OtherWorkflow {
  async run(): Promise<void> {}
}

class Rollback extends Error {}

describe('a start with a manager', () => {
  let database: TestDatabase;
  let elsewhere: TestDatabase;
  let client: WorkflowClient;
  let dataSource: DataSource;
  beforeAll(async () => {
    [database, elsewhere] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  });
  beforeEach(async () => {
    // The poll interval is so long that only a notification at the commit explains a quick result.
    const worker = { pollInterval: '30s', maxPollInterval: '30s' };
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: await reach(database.url), extra: { max: 4 } }),
        WorkflowModule.forRoot({ worker, ...poolerOptions(database.url) }),
      ],
      providers: [GreetWorkflow, OtherWorkflow],
    });
    client = module.get(WorkflowClient);
    dataSource = module.get<DataSource>(getDataSourceToken());
    await dataSource.query('CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY)');
  });
  afterEach(closeApplications);
  afterAll(() => Promise.all([database.drop(), elsewhere.drop()]));

  const countOf = async (id: string) => (await database.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1', [id])).length;
  const start = (manager: EntityManager, id: string, options: StartOptions = {}) =>
    client.start(GreetWorkflow, 'Ada', { id, manager, ...options });

  it('creates the run when the transaction commits, together with the other rows', async () => {
    const startedAt = performance.now();
    const handle = await dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO orders VALUES (1)');
      const started = await start(manager, 'committed', { tags: { order: '1' } });
      expect(started.created).toBe(true);
      expect(await countOf('committed')).toBe(0);
      await expect(client.getHandle('committed').result()).rejects.toBeInstanceOf(RunNotFoundError);
      await expect(started.result()).rejects.toBeInstanceOf(RunNotCommittedError);
      return started;
    });
    await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
    expect(performance.now() - startedAt).toBeLessThan(5_000 * PATIENCE);
    await expect(handle.describe()).resolves.toMatchObject({ tags: { order: '1' }, status: 'completed' });
  });

  it('creates no run when the transaction is rolled back', async () => {
    let handle: Awaited<ReturnType<typeof start>> | undefined;
    const transaction = dataSource.transaction(async (manager) => {
      handle = await start(manager, 'rolled back', { tags: { a: 'b' } });
      throw new Rollback();
    });
    await expect(transaction).rejects.toBeInstanceOf(Rollback);
    expect(await countOf('rolled back')).toBe(0);
    expect(await database.query(`SELECT * FROM durable.workflow_tags WHERE run_id = 'rolled back'`)).toEqual([]);
    await expect(handle!.result({ timeout: seconds(30) })).rejects.toBeInstanceOf(RunNotFoundError);
  });

  it('is rolled back with the savepoint in which it was made', async () => {
    await dataSource.transaction(async (outer) => {
      await start(outer, 'outer');
      const inner = outer.transaction(async (manager) => {
        const handle = await start(manager, 'undone');
        await expect(handle.result()).rejects.toBeInstanceOf(RunNotCommittedError);
        throw new Rollback();
      });
      await expect(inner).rejects.toBeInstanceOf(Rollback);
      const kept = await outer.transaction((manager) => start(manager, 'kept'));
      // Releasing a savepoint does not commit.
      await expect(kept.result()).rejects.toBeInstanceOf(RunNotCommittedError);
      expect(await countOf('kept')).toBe(0);
    });
    expect([await countOf('outer'), await countOf('undone'), await countOf('kept')]).toEqual([1, 0, 1]);
    await expect(client.getHandle('kept').result({ timeout: seconds(5) })).resolves.toBe('hello Ada');
    await expect(client.getHandle('outer').result({ timeout: seconds(5) })).resolves.toBe('hello Ada');
  });

  it('works with a query runner in two consecutive transactions', async () => {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      const first = await start(runner.manager, 'first');
      await runner.commitTransaction();
      await runner.startTransaction();
      await expect(first.result({ timeout: seconds(5) })).resolves.toBe('hello Ada');
      const second = await start(runner.manager, 'second');
      await expect(second.result()).rejects.toBeInstanceOf(RunNotCommittedError);
      await runner.rollbackTransaction();
      await expect(second.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(RunNotFoundError);
    } finally {
      await runner.release();
    }
  });

  it('does not abort the transaction when the id is taken', async () => {
    await client.execute(GreetWorkflow, 'before', { id: 'taken' });
    await client.execute(OtherWorkflow, undefined, { id: 'taken by another' });
    await dataSource.transaction(async (manager) => {
      const again = await start(manager, 'taken');
      expect(again.created).toBe(false);
      await expect(start(manager, 'taken', { onConflict: 'reject' })).rejects.toBeInstanceOf(RunAlreadyExistsError);
      await expect(start(manager, 'taken by another')).rejects.toMatchObject({ workflowName: 'other' });
      await start(manager, 'twice');
      expect((await start(manager, 'twice')).created).toBe(false);
      await manager.query('INSERT INTO orders VALUES (2)');
    });
    expect(await database.query('SELECT id FROM orders WHERE id = 2')).toHaveLength(1);
    await expect(client.getHandle('twice').result({ timeout: seconds(5) })).resolves.toBe('hello Ada');
  });

  it('does not abort the transaction when an argument is invalid', async () => {
    await dataSource.transaction(async (manager) => {
      await expect(client.start(GreetWorkflow, 'a', { manager, priority: 1.5 })).rejects.toBeInstanceOf(InvalidInputError);
      await expect(client.start(GreetWorkflow, Symbol('s') as never, { manager })).rejects.toMatchObject({ code: 'SERIALIZATION' });
      await expect(start(manager, 'nul \u0000')).rejects.toBeInstanceOf(InvalidInputError);
      await start(manager, 'all the same');
    });
    expect(await countOf('all the same')).toBe(1);
  });

  it('can delay the run', async () => {
    const far = await dataSource.transaction((manager) => start(manager, 'far', { delay: '1h', priority: 4, queue: 'default' }));
    await expect(far.describe()).resolves.toMatchObject({ status: 'waiting', priority: 4 });
    const near = await dataSource.transaction((manager) => start(manager, 'near', { delay: 150 }));
    await expect(near.result({ timeout: seconds(5) })).resolves.toBe('hello Ada');
    const { createdAt, startedAt } = await near.describe();
    expect(startedAt!.getTime() - createdAt.getTime()).toBeGreaterThanOrEqual(149);
  });

  it('starts many runs atomically', async () => {
    const handles = await dataSource.transaction((manager) =>
      client.startMany(GreetWorkflow, ['a', 'b', 'a'], (name) => ({ id: `many ${name}`, manager, tags: { name } })),
    );
    expect(handles.map(({ created }) => created)).toEqual([true, true, false]);
    await expect(Promise.all(handles.map((handle) => handle.result({ timeout: seconds(5) })))).resolves.toEqual([
      'hello a',
      'hello b',
      'hello a',
    ]);
    const transaction = dataSource.transaction(async (manager) => {
      await client.startMany(GreetWorkflow, ['a', 'b'], (name) => ({ id: `none ${name}`, manager }));
      throw new Rollback();
    });
    await expect(transaction).rejects.toBeInstanceOf(Rollback);
    expect(await countOf('none a')).toBe(0);
    await dataSource.transaction(async (manager) => {
      await expect(client.startMany(GreetWorkflow, [], { manager })).resolves.toEqual([]);
      const mixed = client.startMany(GreetWorkflow, ['a', 'b'], (name) => (name === 'a' ? { manager } : {}));
      await expect(mixed).rejects.toMatchObject({ argument: 'options.manager' });
    });
  });

  it('does not delay other runs while its transaction is open', async () => {
    await dataSource.transaction(async (manager) => {
      await start(manager, 'held');
      await expect(client.execute(GreetWorkflow, 'b')).resolves.toBe('hello b');
      await expect(client.cancel('held')).rejects.toBeInstanceOf(RunNotFoundError);
    });
    await waitFor(async () => (await client.status('held')) === 'completed');
  });

  it('delays a concurrent start of the same id until the commit; that start then returns the same run', async () => {
    let outside: ReturnType<typeof client.start> | undefined;
    await dataSource.transaction(async (manager) => {
      await start(manager, 'contended');
      outside = client.start(GreetWorkflow, 'Bob', { id: 'contended' });
      // Other starts continue while the transaction is open.
      await expect(client.execute(GreetWorkflow, 'c')).resolves.toBe('hello c');
    });
    await expect(outside).resolves.toMatchObject({ created: false });
    await expect((await outside!).result()).resolves.toBe('hello Ada');
  });

  it.each<[string, () => unknown]>([
    ['the DataSource’s own manager, which has no transaction', () => dataSource.manager],
    ['a DataSource', () => dataSource],
    ['null', () => null],
    ['a text', () => 'manager'],
    ['an object', () => ({})],
    ['an object that can query', () => ({ query: () => [] })],
  ])('is refused when the manager is %s', async (_, manager) => {
    const before = await database.query('SELECT count(*) FROM durable.workflow_runs');
    const error = await client.start(GreetWorkflow, 'a', { manager: manager() as never }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error).toMatchObject({ argument: 'options.manager' });
    expect(await database.query('SELECT count(*) FROM durable.workflow_runs')).toEqual(before);
  });

  it('is refused when the transaction has ended, or belongs to another database', async () => {
    let old: EntityManager | undefined;
    await dataSource.transaction(async (manager) => void (old = manager));
    await expect(start(old!, 'late')).rejects.toMatchObject({ argument: 'options.manager' });

    const other = await new DataSource({ type: 'postgres', url: elsewhere.url }).initialize();
    try {
      await other.transaction(async (manager) => {
        const error = await start(manager, 'elsewhere').catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(InvalidInputError);
        expect(error).toMatchObject({ argument: 'options.manager' });
        await manager.query('SELECT 1');
      });
    } finally {
      await other.destroy();
    }
    expect(await countOf('elsewhere')).toBe(0);
  });

  it('accepts a manager of another DataSource on the same database', async () => {
    const other = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    try {
      const handle = await other.transaction((manager) => start(manager, 'same database'));
      await expect(handle.result({ timeout: seconds(5) })).resolves.toBe('hello Ada');
    } finally {
      await other.destroy();
    }
  });
});
