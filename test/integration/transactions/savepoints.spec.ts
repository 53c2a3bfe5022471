import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DataSource, type EntityManager } from 'typeorm';

import { Starter } from '../../../src/client/starter.js';
import { RunNotCommittedError, Workflow, WorkflowClient, WorkflowModule, type WorkflowHandle } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

const NOT_FOUND = { code: 'RUN_NOT_FOUND' };

describe('manual statements in a transaction', () => {
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
  const finishes = (handle: WorkflowHandle) => expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello Ada');

  it.each([
    ['SAVEPOINT a', 'ROLLBACK TO SAVEPOINT a'],
    ['savepoint b', 'rollback to B'],
    ['SAVEPOINT c', 'RELEASE SAVEPOINT c'],
    ['SAVEPOINT d', 'release d'],
  ])('leave the transaction usable for starts: %s, then %s', async (begin, end) => {
    const handles = await dataSource.transaction(async (manager) => {
      const before = await start(manager, `before ${end}`);
      await manager.query(begin);
      await manager.query(end);
      return [before, await start(manager, `after ${end}`)];
    });
    for (const handle of handles) await finishes(handle);
  });

  it('undo only the starts since the savepoint when they roll back to that savepoint', async () => {
    const announce = jest.spyOn(Starter.prototype as any, 'announce');
    const told = (): string[] => announce.mock.calls.flatMap(([runs]) => (runs as { id: string }[]).map(({ id }) => id));
    try {
      const { kept, undone } = await dataSource.transaction(async (manager) => {
        const first = await start(manager, 'first');
        await manager.query('SAVEPOINT outside');
        const second = await start(manager, 'second');
        await manager.query('SAVEPOINT inside');
        const third = await start(manager, 'third');
        await manager.query('RELEASE SAVEPOINT inside');
        await manager.query('ROLLBACK TO SAVEPOINT outside');
        for (const handle of [second, third]) await expect(handle.status()).rejects.toMatchObject(NOT_FOUND);
        await expect(first.status()).rejects.toBeInstanceOf(RunNotCommittedError);
        // The savepoint still exists, and a second rollback to the same savepoint is possible.
        const fourth = await start(manager, 'fourth');
        await manager.query('ROLLBACK TO SAVEPOINT outside');
        return { kept: [first, await start(manager, 'fifth')], undone: [second, third, fourth] };
      });
      expect(told()).toEqual(['first', 'fifth']);
      for (const handle of undone) await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject(NOT_FOUND);
      for (const handle of kept) await finishes(handle);
    } finally {
      announce.mockRestore();
    }
  });

  it('undo all starts when they roll back to a savepoint before the first start', async () => {
    const handle = await dataSource.transaction(async (manager) => {
      await manager.query('SAVEPOINT early');
      const started = await start(manager, 'since early');
      await manager.query('SAVEPOINT late');
      await manager.query('ROLLBACK TO SAVEPOINT early');
      await expect(started.status()).rejects.toMatchObject(NOT_FOUND);
      return started;
    });
    await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject(NOT_FOUND);
  });

  it.each(['commit', 'END', 'SELECT 1; COMMIT'])('commit the runs with "%s", and later starts are refused', async (commit) => {
    const handle = await dataSource.transaction(async (manager) => {
      const started = await start(manager, `before ${commit}`);
      await manager.query(commit);
      await finishes(started);
      await expect(start(manager, `after ${commit}`)).rejects.toMatchObject({ argument: 'options.manager' });
      return started;
    });
    await expect(handle.status()).resolves.toBe('completed');
    await expect(client.getHandle(`after ${commit}`).status()).rejects.toMatchObject(NOT_FOUND);
  });

  it('end the transaction when their commit fails: its runs do not exist, and later starts are refused', async () => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    const handle = await start(runner.manager, 'in vain');
    await runner.query('INSERT INTO orders VALUES (1, 404)');
    await expect(runner.query('commit')).rejects.toMatchObject({ code: '23503' });
    await expect(handle.status()).rejects.toMatchObject(NOT_FOUND);
    await expect(start(runner.manager, 'too late')).rejects.toMatchObject({ argument: 'options.manager' });
    await runner.rollbackTransaction();
    await runner.release();
  });

  it('separate the starts of a chained or new transaction from earlier starts', async () => {
    const handles = await dataSource.transaction(async (manager) => {
      const first = await start(manager, 'chained 1');
      await manager.query('rollback and chain');
      await expect(first.status()).rejects.toMatchObject(NOT_FOUND);
      const second = await start(manager, 'chained 2');
      await manager.query('COMMIT');
      await manager.query('BEGIN');
      const third = await start(manager, 'chained 3');
      await expect(third.status()).rejects.toBeInstanceOf(RunNotCommittedError);
      return [second, third];
    });
    for (const handle of handles) await finishes(handle);
  });

  it('a transaction commits even when the announcement of its runs fails', async () => {
    const announce = jest.spyOn(Starter.prototype as any, 'announce').mockImplementation(() => {
      throw new Error('nobody can be told');
    });
    try {
      const handle = await dataSource.transaction((manager) => start(manager, 'untold'));
      expect(announce).toHaveBeenCalledTimes(1);
      await expect(handle.status()).resolves.toBe('pending');
    } finally {
      announce.mockRestore();
    }
  });

  it('one query runner can start runs in consecutive transactions', async () => {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      const undone = await start(runner.manager, 'turn 1');
      await runner.rollbackTransaction();
      await runner.startTransaction('SERIALIZABLE');
      const kept = await start(runner.manager, 'turn 2');
      await expect(undone.status()).rejects.toMatchObject(NOT_FOUND);
      await runner.commitTransaction();
      await finishes(kept);
    } finally {
      await runner.release();
    }
  });
});
