import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { currentManager, currentStep, Step, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

const RUNS = 50;

@Workflow({ name: 'child' })
class ChildWorkflow {
  constructor(private readonly dataSource: DataSource) {}

  async run(parent: string): Promise<void> {
    await this.note(parent);
  }

  @Step()
  async note(parent: string): Promise<void> {
    await this.dataSource.query('INSERT INTO notes VALUES ($1)', [parent]);
  }
}

@Workflow({ name: 'parent' })
class ParentWorkflow {
  constructor(
    private readonly dataSource: DataSource,
    private readonly client: WorkflowClient,
  ) {}

  async run(id: string): Promise<void> {
    await this.place(id);
  }

  @Step()
  async place(id: string): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO placed VALUES ($1)', [id]);
      await this.client.start(ChildWorkflow, id, { id: currentStep().idempotencyKey, manager });
      await this.client.startMany(ChildWorkflow, [`${id} a`, `${id} b`], (name) => ({ id: name, manager }));
    });
  }
}

/** A transactional body, and one that also needs a second connection of the pool. */
@Workflow({ name: 'transactional' })
class TransactionalWorkflow {
  constructor(private readonly dataSource: DataSource) {}

  async run({ id, second }: { id: string; second: boolean }, ctx: WorkflowContext): Promise<void> {
    await ctx.step('place', { transactional: true, timeout: second ? '1s' : '1m', retry: { maxAttempts: 1 } }, async () => {
      await currentManager().query('INSERT INTO placed VALUES ($1)', [id]);
      if (second) await this.dataSource.query('SELECT 1');
    });
  }
}

describe.each([1, 2])('an application pool with poolSize %i', (poolSize) => {
  let database: TestDatabase;
  let client: WorkflowClient;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    // A missing connection fails the test with an error, instead of a hang.
    const extra = { connectionTimeoutMillis: seconds(20) };
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, poolSize, extra }),
        WorkflowModule.forRoot({ worker: { concurrency: RUNS } }),
      ],
      providers: [ParentWorkflow, ChildWorkflow, TransactionalWorkflow],
    });
    client = module.get(WorkflowClient);
    dataSource = module.get<DataSource>(getDataSourceToken());
    await dataSource.query('CREATE TABLE placed (id text PRIMARY KEY); CREATE TABLE notes (id text)');
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const count = async (table: string) => (await database.query(`SELECT count(*)::int AS count FROM ${table}`))[0].count as number;

  it('does not deadlock when transactional bodies and requests start runs concurrently', async () => {
    const ids = Array.from({ length: RUNS }, (_, index) => `order ${index}`);
    const requests = ids.map((id) =>
      dataSource.transaction(async (manager) => {
        await manager.query('SELECT pg_sleep(0.001)');
        // The id is often taken: then the lookup uses this transaction's connection, not a second
        // connection of the pool.
        await client.start(ChildWorkflow, id, { id: 'of all', manager });
        const handle = await client.start(ChildWorkflow, id, { id: `request ${id}`, manager });
        await handle.cancel({ manager });
        return handle;
      }),
    );
    const snapshots = ids
      .slice(0, 10)
      .map((id) =>
        dataSource.transaction('REPEATABLE READ', (manager) => client.start(ChildWorkflow, id, { id: `snapshot ${id}`, manager })),
      );
    const parents = await client.startMany(ParentWorkflow, ids, (id) => ({ id }));
    await Promise.all(parents.map((handle) => handle.result({ timeout: seconds(90) })));
    await Promise.all(requests);
    const children = [
      ...(await Promise.all(snapshots)),
      ...ids.flatMap((id) => [`${id}:place`, `${id} a`, `${id} b`].map((child) => client.getHandle(child))),
    ];
    await Promise.all(children.map((handle) => handle.result({ timeout: seconds(90) })));
    await client.getHandle('of all').result({ timeout: seconds(90) });
    expect([await count('placed'), await count('notes')]).toEqual([RUNS, 3 * RUNS + snapshots.length + 1]);
    expect(await count(`durable.workflow_runs WHERE status = 'cancelled' AND id LIKE 'request %'`)).toBe(RUNS);
  });

  it('executes transactional bodies in turn', async () => {
    const ids = Array.from({ length: RUNS }, (_, index) => `turn ${index}`);
    const handles = await client.startMany(
      TransactionalWorkflow,
      ids.map((id) => ({ id, second: false })),
      ({ id }) => ({ id }),
    );
    await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(60) })));
    expect(await count("placed WHERE id LIKE 'turn %'")).toBe(RUNS);
  });

  it('ends bodies that wait for a second connection with the timeout of their step, and then executes others', async () => {
    const ids = Array.from({ length: poolSize }, (_, index) => `second ${index}`);
    const handles = await client.startMany(
      TransactionalWorkflow,
      ids.map((id) => ({ id, second: true })),
      ({ id }) => ({ id }),
    );
    const errors = await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(30) }).catch((error: unknown) => error)));
    for (const error of errors) expect((error as { cause: { cause: unknown } }).cause.cause).toMatchObject({ code: 'STEP_TIMEOUT' });
    await client.execute(TransactionalWorkflow, { id: 'afterwards', second: false }, { resultTimeout: seconds(30) });
    expect(await count("placed WHERE id LIKE 'second %'")).toBe(0);
  });

  it('does not limit starts without a manager while all its connections are in transactions', async () => {
    const runners = await Promise.all(
      Array.from({ length: poolSize }, async () => {
        const runner = dataSource.createQueryRunner();
        await runner.startTransaction();
        return runner;
      }),
    );
    try {
      const handle = await client.start(ChildWorkflow, 'x', { delay: '1h' });
      await expect(handle.describe()).resolves.toMatchObject({ status: 'waiting' });
      await client.cancel(handle.runId);
      await expect(handle.result({ timeout: seconds(30) })).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED' });
    } finally {
      for (const runner of runners) {
        await runner.rollbackTransaction();
        await runner.release();
      }
    }
  });
});
