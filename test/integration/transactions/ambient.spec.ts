import { Injectable } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { Propagation, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import { ClsPluginTransactional } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ClsModule } from 'nestjs-cls';
import { DataSource, type EntityManager } from 'typeorm';

import {
  currentStep,
  InvalidInputError,
  RunNotCommittedError,
  RunNotFoundError,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowModule,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

type Host = TransactionHost<TransactionalAdapterTypeOrm>;

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

@Workflow({ name: 'probe' })
class ProbeWorkflow {
  constructor(
    private readonly host: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly client: WorkflowClient,
  ) {}

  async run(id: string): Promise<{ inRun: boolean; inStep: boolean; inRetry: boolean }> {
    const inRun = this.host.isTransactionActive();
    const inStep = await this.look(id);
    return { inRun, inStep, inRetry: await this.lookTwice() };
  }

  @Step()
  async look(id: string): Promise<boolean> {
    await this.client.start(GreetWorkflow, 'child', { id: `${id} child` });
    return this.host.isTransactionActive();
  }

  @Step({ retry: { maxAttempts: 2, initialInterval: 1 } })
  async lookTwice(): Promise<boolean> {
    if (currentStep().attempt === 1) throw new Error('once more');
    return this.host.isTransactionActive();
  }
}

class Rollback extends Error {}

@Injectable()
class Shop {
  constructor(
    private readonly client: WorkflowClient,
    private readonly host: TransactionHost<TransactionalAdapterTypeOrm>,
  ) {}

  @Transactional()
  async order(id: string, end: 'commit' | 'roll back') {
    await this.host.tx.query('INSERT INTO orders VALUES ($1)', [id]);
    const handle = await this.client.start(GreetWorkflow, id, { id });
    await expect(handle.result()).rejects.toBeInstanceOf(RunNotCommittedError);
    if (end === 'roll back') throw new Rollback();
    return handle;
  }
}

describe('a client with nestjs-cls', () => {
  let database: TestDatabase;
  let elsewhere: TestDatabase;
  let client: WorkflowClient;
  let dataSource: DataSource;
  let shop: Shop;
  let host: Host;
  /** A function that replaces the transaction of the library when a test sets one. */
  let ambient: (() => unknown) | undefined;
  beforeAll(async () => {
    [database, elsewhere] = await Promise.all([createTestDatabase(), createTestDatabase()]);
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, extra: { max: 4 } }),
        ClsModule.forRoot({
          plugins: [new ClsPluginTransactional({ adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }) })],
        }),
        WorkflowModule.forRootAsync({
          inject: [TransactionHost],
          useFactory: (host: Host) => ({
            worker: {},
            currentTransaction: () => (ambient ? (ambient() as EntityManager) : host.tx),
          }),
        }),
      ],
      providers: [GreetWorkflow, ProbeWorkflow, Shop],
    });
    client = module.get(WorkflowClient);
    dataSource = module.get<DataSource>(getDataSourceToken());
    shop = module.get(Shop);
    host = module.get(TransactionHost);
    await dataSource.query('CREATE TABLE orders (id text PRIMARY KEY)');
  });
  afterAll(async () => {
    await closeApplications();
    await Promise.all([database.drop(), elsewhere.drop()]);
  });

  const exists = async (id: string) => (await database.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1', [id])).length === 1;
  const rolledBack = (work: () => Promise<unknown>) =>
    expect(
      host.withTransaction(async () => {
        await work();
        throw new Rollback();
      }),
    ).rejects.toBeInstanceOf(Rollback);

  it('joins the transaction of a @Transactional method without the manager option', async () => {
    const handle = await shop.order('one', 'commit');
    await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello one');
    await expect(shop.order('two', 'roll back')).rejects.toBeInstanceOf(Rollback);
    expect(await exists('two')).toBe(false);
    expect(await database.query('SELECT id FROM orders')).toEqual([{ id: 'one' }]);
  });

  it('commits a start immediately when no transaction is active', async () => {
    const handle = await client.start(GreetWorkflow, 'alone');
    await expect(handle.result()).resolves.toBe('hello alone');
    await expect(client.execute(GreetWorkflow, 'executed')).resolves.toBe('hello executed');
    await host.withTransaction(() =>
      host
        .withoutTransaction(() => client.start(GreetWorkflow, 'aside', { id: 'aside' }))
        .then(async () => {
          expect(await exists('aside')).toBe(true);
        }),
    );
  });

  it('follows nested and independent transactions', async () => {
    await host.withTransaction(async () => {
      await client.start(GreetWorkflow, 'outer', { id: 'outer' });
      const nested = host.withTransaction(Propagation.Nested, async () => {
        await client.start(GreetWorkflow, 'nested', { id: 'nested' });
        throw new Rollback();
      });
      await expect(nested).rejects.toBeInstanceOf(Rollback);
      await host.withTransaction(Propagation.RequiresNew, () => client.start(GreetWorkflow, 'new', { id: 'new' }));
      expect([await exists('outer'), await exists('nested'), await exists('new')]).toEqual([false, false, true]);
    });
    expect([await exists('outer'), await exists('nested')]).toEqual([true, false]);
  });

  it('joins the transaction with startMany and cancel', async () => {
    const waiting = await client.start(GreetWorkflow, 'later', { delay: '1h' });
    await rolledBack(async () => {
      await client.startMany(GreetWorkflow, ['a', 'b'], (name) => ({ id: `many ${name}` }));
      await waiting.cancel();
    });
    expect([await exists('many a'), await exists('many b'), await waiting.status()]).toEqual([false, false, 'waiting']);
    await host.withTransaction(() => waiting.cancel({ reason: 'changed my mind' }));
    await expect(waiting.result({ timeout: seconds(30) })).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED', reason: 'changed my mind' });
  });

  it('prefers the manager option to the transaction of the library', async () => {
    await rolledBack(() => dataSource.transaction((manager) => client.start(GreetWorkflow, 'given', { id: 'given', manager })));
    expect(await exists('given')).toBe(true);
  });

  it('joins no transaction when the manager option is "none"', async () => {
    await rolledBack(async () => {
      const handle = await client.start(GreetWorkflow, 'apart', { id: 'apart', manager: 'none' });
      await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello apart');
      await client.startMany(GreetWorkflow, ['x', 'y'], (name) => ({ id: `apart ${name}`, manager: 'none' }));
    });
    expect([await exists('apart'), await exists('apart x'), await exists('apart y')]).toEqual([true, true, true]);
  });

  it('refuses execute in a transaction, because the call would wait for its own commit', async () => {
    await host.withTransaction(async () => {
      const error = await client.execute(GreetWorkflow, 'stuck', { id: 'stuck' }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidInputError);
      expect(error).toMatchObject({ argument: 'currentTransaction' });
      await expect(client.execute(GreetWorkflow, 'free', { manager: 'none' })).resolves.toBe('hello free');
    });
    expect(await exists('stuck')).toBe(false);
  });

  it('executes runs outside the transaction in which they were started', async () => {
    await rolledBack(async () => {
      const handle = await client.start(ProbeWorkflow, 'probe', { manager: 'none' });
      await expect(handle.result({ timeout: seconds(30) })).resolves.toEqual({ inRun: false, inStep: false, inRetry: false });
    });
    expect(await exists('probe child')).toBe(true);
    // The commit notifies the poller, in the context of the transaction that has just ended.
    const committed = await host.withTransaction(() => client.start(ProbeWorkflow, 'probe 2'));
    await expect(committed.result({ timeout: seconds(30) })).resolves.toEqual({ inRun: false, inStep: false, inRetry: false });
  });

  describe('a currentTransaction function', () => {
    const withAmbient = async <T>(manager: () => unknown, work: () => Promise<T>): Promise<T> => {
      ambient = manager;
      try {
        return await work();
      } finally {
        ambient = undefined;
      }
    };

    it.each<[string, () => unknown]>([
      [
        'throws',
        () => {
          throw new Error('no context');
        },
      ],
      ['returns a rejected promise', () => Promise.reject(new Error('not at once'))],
      ['returns something else', () => 'manager'],
    ])('makes calls fail with an error that names currentTransaction when it %s', async (_, manager) => {
      await withAmbient(manager, async () => {
        for (const call of [
          () => client.start(GreetWorkflow, 'a', { id: 'misled' }),
          () => client.startMany(GreetWorkflow, ['a'], () => ({ id: 'misled' })),
          () => client.execute(GreetWorkflow, 'a', { id: 'misled' }),
          () => client.cancel('misled'),
        ]) {
          const error = await call().then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
          expect(error).toBeInstanceOf(InvalidInputError);
          expect(error).toMatchObject({ argument: 'currentTransaction' });
        }
        await expect(client.start(GreetWorkflow, 'a', { manager: 'none' })).resolves.toMatchObject({ created: true });
      });
      expect(await exists('misled')).toBe(false);
    });

    it.each<[string, () => unknown]>([
      ['undefined', () => undefined],
      ['null', () => null],
      ['a manager without a transaction', () => dataSource.manager],
    ])('leaves a call outside any transaction when it returns %s', async (what, manager) => {
      await withAmbient(manager, async () => {
        await expect(client.execute(GreetWorkflow, what)).resolves.toBe(`hello ${what}`);
      });
    });

    it('makes a start fail when it returns a manager of another database', async () => {
      const other = await new DataSource({ type: 'postgres', url: elsewhere.url }).initialize();
      try {
        await other.transaction((manager) =>
          withAmbient(
            () => manager,
            () => expect(client.start(GreetWorkflow, 'a', { id: 'astray' })).rejects.toMatchObject({ argument: 'currentTransaction' }),
          ),
        );
      } finally {
        await other.destroy();
      }
      await expect(client.status('astray')).rejects.toBeInstanceOf(RunNotFoundError);
    });
  });
});
