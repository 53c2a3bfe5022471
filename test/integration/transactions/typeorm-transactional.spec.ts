import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DataSource, type DataSourceOptions, type EntityManager } from 'typeorm';
import {
  addTransactionalDataSource,
  initializeTransactionalContext,
  Propagation,
  runInTransaction,
  StorageDriver,
} from 'typeorm-transactional';

import { Workflow, WorkflowClient, WorkflowModule } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

class Rollback extends Error {}

let database: TestDatabase;
let client: WorkflowClient;
beforeAll(async () => {
  database = await createTestDatabase();
  initializeTransactionalContext({ storageDriver: StorageDriver.ASYNC_LOCAL_STORAGE });
  let dataSource: DataSource | undefined;
  const module = await bootApplication({
    imports: [
      TypeOrmModule.forRootAsync({
        useFactory: () => ({ type: 'postgres', url: database.url }),
        dataSourceFactory: async (options) => (dataSource = addTransactionalDataSource(new DataSource(options as DataSourceOptions))),
      }),
      // Inside a transaction, the DataSource's manager is the manager of that transaction.
      WorkflowModule.forRoot({ worker: {}, currentTransaction: (): EntityManager | undefined => dataSource?.manager }),
    ],
    providers: [GreetWorkflow],
  });
  client = module.get(WorkflowClient);
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

const exists = async (id: string) => (await database.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1', [id])).length === 1;

it('starts join the current transaction of typeorm-transactional', async () => {
  const handle = await runInTransaction(async () => {
    const started = await client.start(GreetWorkflow, 'kept', { id: 'kept' });
    expect(await exists('kept')).toBe(false);
    return started;
  });
  await expect(handle.result({ timeout: '30s' })).resolves.toBe('hello kept');

  const undone = runInTransaction(async () => {
    await client.start(GreetWorkflow, 'undone', { id: 'undone' });
    await runInTransaction(() => client.start(GreetWorkflow, 'apart', { id: 'apart' }), { propagation: Propagation.REQUIRES_NEW });
    throw new Rollback();
  });
  await expect(undone).rejects.toBeInstanceOf(Rollback);
  expect([await exists('undone'), await exists('apart')]).toEqual([false, true]);

  await runInTransaction(async () => {
    const nested = runInTransaction(
      async () => {
        await client.start(GreetWorkflow, 'nested', { id: 'nested' });
        throw new Rollback();
      },
      { propagation: Propagation.NESTED },
    );
    await expect(nested).rejects.toBeInstanceOf(Rollback);
  });
  expect(await exists('nested')).toBe(false);
  await expect(client.execute(GreetWorkflow, 'outside')).resolves.toBe('hello outside');
});
