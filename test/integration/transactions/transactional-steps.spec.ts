import type { ModuleMetadata } from '@nestjs/common';
import { getDataSourceToken, InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ClsModule } from 'nestjs-cls';
import pg from 'pg';
import { Column, DataSource, Entity, PrimaryColumn, type DataSourceOptions, type EntityManager, type Repository } from 'typeorm';
import {
  addTransactionalDataSource,
  deleteDataSourceByName,
  initializeTransactionalContext,
  type IsolationLevel,
  runInTransaction,
  StorageDriver,
} from 'typeorm-transactional';

import {
  currentManager,
  currentStep,
  Step,
  TransactionalStepsError,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type StepIsolation,
  type WorkflowContext,
  type WorkflowModuleOptions,
} from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { FaultProxy } from '../../support/faults/proxy.js';
import { seconds, waitFor } from '../../support/wait.js';

@Entity('notes')
class Note {
  @PrimaryColumn('text')
  id!: string;

  @Column('text')
  level!: string;
}

@Workflow({ name: 'notes' })
class NotesWorkflow {
  async run(id: string): Promise<string> {
    return this.write(id);
  }

  @Step({ transactional: { isolation: 'REPEATABLE READ' }, retry: { maxAttempts: 2, initialInterval: 10 } })
  async write(id: string): Promise<string> {
    const [{ level }] = await currentManager().query<[{ level: string }]>(`SELECT current_setting('transaction_isolation') AS level`);
    await currentManager()
      .getRepository(Note)
      .insert({ id: `${id} ${currentStep().attempt}`, level });
    if (currentStep().attempt === 1) throw new Error('once');
    return level;
  }
}

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

/** Writes through the library, and never through `currentManager`. */
abstract class LibraryWorkflow {
  constructor(private readonly client: WorkflowClient) {}

  async run(id: string): Promise<number> {
    return this.write(id);
  }

  abstract insert(id: string): Promise<void>;

  @Step({ transactional: { isolation: 'SERIALIZABLE' }, retry: { maxAttempts: 2, initialInterval: 10 } })
  async write(id: string): Promise<number> {
    const { attempt } = currentStep();
    await this.insert(`${id} ${attempt}`);
    // Joins the transaction of the step without a manager.
    await this.client.start(GreetWorkflow, id, { id: `${id} greeted ${attempt}` });
    if (attempt === 1) throw new Error('once');
    return attempt;
  }
}

@Workflow({ name: 'cls' })
class ClsWorkflow extends LibraryWorkflow {
  constructor(
    client: WorkflowClient,
    private readonly host: TransactionHost<TransactionalAdapterTypeOrm>,
  ) {
    super(client);
  }

  @Transactional()
  async insert(id: string): Promise<void> {
    expect(this.host.tx).toBe(currentManager());
    await this.host.tx.getRepository(Note).insert({ id, level: 'cls' });
  }
}

@Workflow({ name: 'typeorm' })
class TypeOrmTransactionalWorkflow extends LibraryWorkflow {
  constructor(
    client: WorkflowClient,
    @InjectRepository(Note) private readonly notes: Repository<Note>,
  ) {
    super(client);
  }

  async insert(id: string): Promise<void> {
    await this.notes.insert({ id, level: 'typeorm' });
  }
}

const entities = [Note];
let database: TestDatabase;
let elsewhere: TestDatabase;
beforeAll(async () => {
  [database, elsewhere] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  await database.query('CREATE TABLE notes (id text PRIMARY KEY, level text NOT NULL)');
});
afterEach(closeApplications);
afterAll(async () => {
  for (const role of ['reader', 'stranger', 'tenant']) {
    await database.query(`DROP OWNED BY txn_${role}`).catch(() => undefined);
    await database.query(`DROP ROLE IF EXISTS txn_${role}`);
  }
  await Promise.all([database.drop(), elsewhere.drop()]);
});

const orm = (url = database.url, options: object = {}) => TypeOrmModule.forRoot({ type: 'postgres', url, entities, ...options });
const boot = (imports: NonNullable<ModuleMetadata['imports']>, options: WorkflowModuleOptions, providers = [NotesWorkflow]) =>
  bootApplication({ imports: [...imports, WorkflowModule.forRoot({ worker: {}, ...options })], providers });
const noteIds = async (prefix: string) =>
  (await database.query<{ id: string }>('SELECT id FROM notes WHERE starts_with(id, $1) ORDER BY id', [prefix])).map(({ id }) => id);
const runIds = async (prefix: string) =>
  (await database.query<{ id: string }>('SELECT id FROM durable.workflow_runs WHERE starts_with(id, $1) ORDER BY id', [prefix])).map(
    ({ id }) => id,
  );
const asRole = (role: string): string => {
  const url = new URL(database.url);
  url.username = `txn_${role}`;
  url.password = 'secret';
  return url.href;
};

describe('transactional steps', () => {
  it.each<[string, WorkflowModuleOptions]>([
    ["on the module's own DataSource", {}],
    ['behind a pooler', { pooler: 'transaction', listen: false }],
  ])('write in their transaction %s', async (where, options) => {
    const module = await boot([orm()], options);
    await expect(module.get(WorkflowClient).execute(NotesWorkflow, where, { id: where })).resolves.toBe('repeatable read');
    expect(await noteIds(where)).toEqual([`${where} 2`]);
  });

  it('write as a role of its own, with another search_path', async () => {
    await database.query(`CREATE ROLE txn_tenant LOGIN PASSWORD 'secret'; CREATE SCHEMA tenant;
      CREATE TABLE tenant.notes (id text PRIMARY KEY, level text NOT NULL);
      GRANT USAGE ON SCHEMA tenant, durable TO txn_tenant; GRANT SELECT, INSERT ON tenant.notes TO txn_tenant;
      GRANT SELECT ON durable.workflow_sessions TO txn_tenant; GRANT SELECT, UPDATE ON durable.workflow_runs TO txn_tenant;
      GRANT SELECT, INSERT ON durable.workflow_steps TO txn_tenant; GRANT SELECT, DELETE ON durable.workflow_waits TO txn_tenant`);
    const module = await boot([orm(asRole('tenant'), { extra: { options: '-c search_path=tenant' } })], {
      connection: { url: database.url },
    });
    await expect(module.get(WorkflowClient).execute(NotesWorkflow, 'tenant', { id: 'tenant' })).resolves.toBe('repeatable read');
    expect(await database.query('SELECT id FROM tenant.notes')).toEqual([{ id: 'tenant 2' }]);
  });

  it('join the transaction of nestjs-cls by themselves', async () => {
    const module = await bootApplication({
      imports: [
        orm(),
        ClsModule.forRoot({
          plugins: [new ClsPluginTransactional({ adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }) })],
        }),
        WorkflowModule.forRootAsync({
          inject: [TransactionHost],
          useFactory: (host: TransactionHost<TransactionalAdapterTypeOrm>) => ({
            worker: {},
            currentTransaction: () => host.tx,
            runInTransaction: (work, isolation) =>
              isolation ? host.withTransaction({ isolationLevel: isolation }, work) : host.withTransaction(work),
          }),
        }),
      ],
      providers: [ClsWorkflow, GreetWorkflow],
    });
    const client = module.get(WorkflowClient);
    await expect(client.execute(ClsWorkflow, 'cls', { id: 'cls' })).resolves.toBe(2);
    expect([await noteIds('cls'), await runIds('cls greeted')]).toEqual([['cls 2'], ['cls greeted 2']]);
    await expect(client.getHandle(GreetWorkflow, 'cls greeted 2').result({ timeout: seconds(30) })).resolves.toBe('hello cls');
  });

  it('join the transaction of typeorm-transactional by themselves', async () => {
    initializeTransactionalContext({ storageDriver: StorageDriver.ASYNC_LOCAL_STORAGE });
    let dataSource: DataSource | undefined;
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => ({ type: 'postgres', url: database.url, entities }),
          dataSourceFactory: async (options) => (dataSource = addTransactionalDataSource(new DataSource(options as DataSourceOptions))),
        }),
        TypeOrmModule.forFeature([Note]),
        WorkflowModule.forRoot({
          worker: {},
          currentTransaction: (): EntityManager | undefined => dataSource?.manager,
          runInTransaction: (work, isolation) =>
            runInTransaction(work, isolation ? { isolationLevel: isolation as string as IsolationLevel } : {}),
        }),
      ],
      providers: [TypeOrmTransactionalWorkflow, GreetWorkflow],
    });
    const client = module.get(WorkflowClient);
    await expect(client.execute(TypeOrmTransactionalWorkflow, 'typeorm', { id: 'typeorm' })).resolves.toBe(2);
    expect([await noteIds('typeorm'), await runIds('typeorm greeted')]).toEqual([['typeorm 2'], ['typeorm greeted 2']]);
    deleteDataSourceByName('default');
  });
});

describe('a worker that loses its runs while a transactional body is executed', () => {
  it.each<[StepIsolation, string]>([
    ['READ COMMITTED', 'its session and the run'],
    ['REPEATABLE READ', 'its session and the run'],
    ['READ COMMITTED', 'the run'],
  ])('writes nothing of that body under %s when it has lost %s', async (isolation, what) => {
    let bodies = 0;
    const prefix = `robbed of ${what} ${isolation}`;
    @Workflow({ name: 'robbed' })
    class RobbedWorkflow {
      async run(_input: void, ctx: WorkflowContext): Promise<number> {
        return ctx.step('write', { transactional: { isolation } }, async () => {
          const body = ++bodies;
          await currentManager().insert(Note, { id: `${prefix} ${body}`, level: '' });
          if (body > 1) return body;
          // A takeover does the same.
          await database.query(`DELETE FROM durable.workflow_sessions`);
          await database.query(
            `UPDATE durable.workflow_runs SET status = 'pending', session_id = NULL, ready_at = now() WHERE status = 'running'`,
          );
          return body;
        });
      }
    }
    const module = await boot([orm()], {}, [RobbedWorkflow as never]);
    const last = await module.get(WorkflowClient).execute(RobbedWorkflow, undefined);
    // Under REPEATABLE READ the loss looks like a conflict, so the body is executed once more.
    expect(last).toBeGreaterThan(1);
    expect(await noteIds(prefix)).toEqual([`${prefix} ${last}`]);
  });

  it('waits for a takeover that has not committed, and then writes nothing of that body', async () => {
    let bodies = 0;
    let takeover: Promise<unknown> | undefined;
    @Workflow({ name: 'taken' })
    class TakenWorkflow {
      async run(_input: void, ctx: WorkflowContext): Promise<number> {
        return ctx.step('write', { transactional: { isolation: 'READ COMMITTED' } }, async () => {
          const body = ++bodies;
          await currentManager().insert(Note, { id: `taken ${body}`, level: '' });
          if (body > 1) return body;
          const robber = new pg.Client({ connectionString: database.url });
          await robber.connect();
          await robber.query('BEGIN');
          // The second statement of a takeover does the same. The record still sees the session.
          await robber.query(
            `UPDATE durable.workflow_runs SET status = 'pending', session_id = NULL, ready_at = now() WHERE status = 'running'`,
          );
          const recordWaits = async () =>
            (await database.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR SHARE%'`)).length > 0;
          takeover = (async () => {
            try {
              await waitFor(recordWaits, { timeoutMs: 4_000, message: 'the record to wait for the run' });
            } finally {
              await robber.query('COMMIT');
              await robber.end();
            }
          })();
          return body;
        });
      }
    }
    const module = await boot([orm()], {}, [TakenWorkflow as never]);
    await expect(module.get(WorkflowClient).execute(TakenWorkflow, undefined)).resolves.toBe(2);
    await takeover;
    expect(await noteIds('taken')).toEqual(['taken 2']);
  });
});

describe('the boot of an application with a transactional step', () => {
  const refusal = async (imports: NonNullable<ModuleMetadata['imports']>, options: WorkflowModuleOptions) => {
    const error: unknown = await boot(imports, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TransactionalStepsError);
    return (error as TransactionalStepsError).problem;
  };

  it('fails without a DataSource', async () => {
    expect(await refusal([], { connection: { url: database.url } })).toBe('no-data-source');
  });

  it('fails when the module uses another database', async () => {
    expect(await refusal([orm()], { connection: { url: elsewhere.url } })).toBe('other-database');
  });

  it('fails when transactions of the DataSource are read-only', async () => {
    await database.query(`CREATE ROLE txn_reader LOGIN PASSWORD 'secret'; ALTER ROLE txn_reader SET default_transaction_read_only = on;
      GRANT USAGE ON SCHEMA durable TO txn_reader; GRANT ALL ON ALL TABLES IN SCHEMA durable TO txn_reader`);
    expect(await refusal([orm(asRole('reader'))], { connection: { url: database.url } })).toBe('read-only');
  });

  it("fails when the role of the DataSource has no rights on the module's tables", async () => {
    await database.query(`CREATE ROLE txn_stranger LOGIN PASSWORD 'secret'`);
    expect(await refusal([orm(asRole('stranger'))], { connection: { url: database.url } })).toBe('no-rights');
    // The role of the test with another search_path has exactly these rights.
    expect(new TransactionalStepsError('no-rights').message).toContain('SELECT on workflow_sessions, SELECT and UPDATE on workflow_runs');
  });

  it('tries again when the server ends the connection of the DataSource', async () => {
    const proxy = await FaultProxy.start(database.url);
    try {
      const cut = proxy.cutAt('START TRANSACTION', 'request');
      const module = await boot([orm(proxy.url)], { connection: { url: database.url } });
      await cut;
      expect(await module.get(WorkflowClient).execute(NotesWorkflow, 'after a cut')).toBe('repeatable read');
    } finally {
      await closeApplications();
      await proxy.stop();
    }
  });

  it('fails when runInTransaction opens no transaction that currentTransaction returns', async () => {
    expect(await refusal([orm()], { currentTransaction: () => undefined, runInTransaction: (work) => work() })).toBe('no-manager');
    await expect(boot([orm()], { runInTransaction: (work) => work() })).rejects.toMatchObject({ argument: 'runInTransaction' });
  });

  it('checks nothing when no step is transactional, and fails such a ctx.step at its call', async () => {
    @Workflow({ name: 'inline' })
    class InlineWorkflow {
      async run(isolation: StepIsolation, ctx: WorkflowContext): Promise<void> {
        await ctx.step('write', { transactional: { isolation }, retry: { maxAttempts: 1 } }, () => currentManager().query('SELECT 1'));
      }
    }
    const module = await boot([orm()], { connection: { url: elsewhere.url } }, [InlineWorkflow as never]);
    const error = await module
      .get(WorkflowClient)
      .execute(InlineWorkflow, 'SERIALIZABLE')
      .catch((thrown: Error) => thrown);
    expect(((error as Error).cause as Error).cause).toMatchObject({ code: 'TRANSACTIONAL_STEPS' });
  });
});
