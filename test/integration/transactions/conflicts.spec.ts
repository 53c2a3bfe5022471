import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource, type QueryRunner } from 'typeorm';

import {
  RunAlreadyExistsError,
  TransactionConflictError,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type StartOptions,
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

@Workflow({ name: 'other' })
class OtherWorkflow {
  async run(): Promise<void> {}
}

type Isolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

describe('a start in a transaction with a contended id', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  let dataSource: DataSource;
  const runners: QueryRunner[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    const module = await bootApplication({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url: database.url, extra: { max: 8 } }), WorkflowModule.forRoot({ worker: {} })],
      providers: [GreetWorkflow, OtherWorkflow],
    });
    client = module.get(WorkflowClient);
    dataSource = module.get<DataSource>(getDataSourceToken());
    await dataSource.query('CREATE TABLE orders (id text PRIMARY KEY)');
  });
  afterAll(async () => {
    for (const runner of runners) if (!runner.isReleased) await runner.release();
    await closeApplications();
    await database.drop();
  });

  const begin = async (isolation: Isolation = 'READ COMMITTED'): Promise<QueryRunner> => {
    const runner = dataSource.createQueryRunner();
    runners.push(runner);
    await runner.startTransaction(isolation);
    // Takes the snapshot.
    await runner.query('SELECT count(*) FROM orders');
    return runner;
  };
  const start = (runner: QueryRunner, id: string, options: StartOptions = {}) =>
    client.start(GreetWorkflow, 'Ada', { id, manager: runner.manager, ...options });
  const commit = async (runner: QueryRunner) => {
    await runner.commitTransaction();
    await runner.release();
  };
  const rollback = async (runner: QueryRunner) => {
    await runner.rollbackTransaction();
    await runner.release();
  };
  const pidOf = async (runner: QueryRunner) => (await runner.query('SELECT pg_backend_pid() AS pid'))[0].pid as number;
  const waits = (pid: number) =>
    waitFor(async () => (await database.query('SELECT 1 WHERE cardinality(pg_blocking_pids($1)) > 0', [pid])).length === 1);
  const thrown = (promise: Promise<unknown>) =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('waits for the other transaction, and returns its run after a commit', async () => {
    const [first, second] = [await begin(), await begin()];
    const pid = await pidOf(second);
    await start(first, 'contended');
    const waiting = start(second, 'contended');
    await waits(pid);
    await commit(first);
    expect((await waiting).created).toBe(false);
    await second.query(`INSERT INTO orders VALUES ('after contended')`);
    await commit(second);
    await expect((await waiting).result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
  });

  it('waits for the other transaction, and creates the run after a rollback', async () => {
    const [first, second] = [await begin(), await begin()];
    const pid = await pidOf(second);
    await start(first, 'given up');
    const waiting = start(second, 'given up');
    await waits(pid);
    await rollback(first);
    expect((await waiting).created).toBe(true);
    await commit(second);
    await expect((await waiting).result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
  });

  it('waits no longer than the lock_timeout of its transaction', async () => {
    const [first, second] = [await begin(), await begin()];
    await start(first, 'held long');
    await second.query(`SET LOCAL lock_timeout = '50ms'`);
    const error = await thrown(start(second, 'held long'));
    expect(error).toBeInstanceOf(TransactionConflictError);
    expect(error).toMatchObject({ code: 'TRANSACTION_CONFLICT', runIds: ['held long'], sqlState: '55P03', cause: { code: '55P03' } });
    await rollback(second);
    await commit(first);
  });

  it('rejects with TransactionConflictError when it is the victim of a deadlock', async () => {
    const [first, second] = [await begin(), await begin()];
    const pid = await pidOf(second);
    await start(first, 'knot a');
    await start(second, 'knot b');
    const errors = [thrown(start(second, 'knot a'))];
    await waits(pid);
    errors.push(thrown(start(first, 'knot b')));
    // The transaction that receives the error gives way, and the other one continues.
    const victim = await Promise.race(
      errors.map(async (each, index) => ((await each) ? index : await new Promise<never>(() => undefined))),
    );
    await rollback([second, first][victim]!);
    const [error] = (await Promise.all(errors)).filter(Boolean);
    expect(error).toBeInstanceOf(TransactionConflictError);
    expect(error).toMatchObject({ sqlState: '40P01' });
    await commit([first, second][victim]!);
    const rows = await database.query(`SELECT id FROM durable.workflow_runs WHERE id LIKE 'knot %' ORDER BY id`);
    expect(rows).toEqual([{ id: 'knot a' }, { id: 'knot b' }]);
  });

  it('does not deadlock when two transactions call startMany with the same ids in opposite orders', async () => {
    const ids = Array.from({ length: 200 }, (_, index) => `ordered ${String(index).padStart(3, '0')}`);
    const startAll = async (order: readonly string[]) =>
      dataSource.transaction((manager) =>
        client.startMany(GreetWorkflow, order, (id) => ({ id, manager, startAt: new Date('2100-01-01') })),
      );
    for (let round = 0; round < 5; round++) {
      const both = await Promise.all([startAll(ids), startAll([...ids].reverse())]);
      expect(both.map((handles) => handles.filter(({ created }) => created).length).sort((a, b) => a - b)).toEqual([0, 200]);
      await database.query(`DELETE FROM durable.workflow_runs WHERE id LIKE 'ordered %'`);
    }
  });

  it.each<Isolation>(['REPEATABLE READ', 'SERIALIZABLE'])(
    'finds a run that was committed after the snapshot, at isolation level %s',
    async (isolation) => {
      const id = `since ${isolation}`;
      const runner = await begin(isolation);
      await client.execute(GreetWorkflow, 'Bob', { id });
      await client.execute(OtherWorkflow, undefined, { id: `${id} other` });
      const handle = await start(runner, id);
      expect(handle.created).toBe(false);
      await expect(handle.result()).resolves.toBe('hello Bob');
      await expect(start(runner, id, { onConflict: 'reject' })).rejects.toBeInstanceOf(RunAlreadyExistsError);
      await expect(start(runner, `${id} other`)).rejects.toMatchObject({ workflowName: 'other' });
      const many = await client.startMany(GreetWorkflow, ['x', id, 'y'], (name) => ({
        id: name === id ? id : `${id} ${name}`,
        manager: runner.manager,
      }));
      expect(many.map(({ created }) => created)).toEqual([true, false, true]);
      expect((await start(runner, `${id} x`)).created).toBe(false);
      await runner.query('INSERT INTO orders VALUES ($1)', [id]);
      await commit(runner);
      expect(await database.query('SELECT id FROM orders WHERE id = $1', [id])).toHaveLength(1);
      await expect(many[2]!.result({ timeout: seconds(30) })).resolves.toBe(`hello y`);
    },
  );

  it.each<Isolation>(['REPEATABLE READ', 'SERIALIZABLE'])(
    'rejects with TransactionConflictError when another transaction creates the run first, at isolation level %s',
    async (isolation) => {
      const id = `between ${isolation}`;
      const [first, second] = [await begin(), await begin(isolation)];
      const pid = await pidOf(second);
      await start(first, id);
      const waiting = thrown(start(second, id));
      await waits(pid);
      await commit(first);
      const error = await waiting;
      expect(error).toBeInstanceOf(TransactionConflictError);
      expect(error).toMatchObject({ sqlState: '40001', runIds: [id], message: expect.stringContaining('READ COMMITTED') });
      await rollback(second);
      // The message asks for a repetition, which succeeds.
      const third = await begin(isolation);
      expect((await start(third, id)).created).toBe(false);
      await commit(third);
    },
  );

  it('does not conflict with starts of other runs in SERIALIZABLE transactions', async () => {
    const all = Array.from({ length: 8 }, async (_, index) =>
      dataSource.transaction('SERIALIZABLE', async (manager) => {
        const handle = await client.start(GreetWorkflow, `serial ${index}`, { id: `serial ${index}`, manager });
        await manager.query('SELECT pg_sleep(0.05)');
        return handle;
      }),
    );
    const results = await Promise.all((await Promise.all(all)).map((handle) => handle.result({ timeout: seconds(30) })));
    expect(results).toEqual(Array.from({ length: 8 }, (_, index) => `hello serial ${index}`));
  });
});
