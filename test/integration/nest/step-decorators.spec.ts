import { Injectable, SetMetadata } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ClsModule } from 'nestjs-cls';
import { DataSource, type DataSourceOptions } from 'typeorm';
import {
  addTransactionalDataSource,
  initializeTransactionalContext,
  StorageDriver,
  Transactional as TypeOrmTransactional,
} from 'typeorm-transactional';

import { Step, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

let open = 0;

/** Counts calls under way, as a decorator that opens a span or takes a lock does. */
function Counted(): MethodDecorator {
  return (_target, _property, descriptor: PropertyDescriptor) => {
    const original = descriptor.value as (...args: unknown[]) => Promise<unknown>;
    descriptor.value = async function (this: unknown, ...args: unknown[]) {
      open++;
      try {
        return await original.apply(this, args);
      } finally {
        open--;
      }
    };
  };
}

const RETRIED = { retry: { maxAttempts: 2, initialInterval: 100 } };

@Injectable()
class Ledger {
  constructor(
    private readonly host: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly dataSource: DataSource,
  ) {}

  @Transactional()
  @Step(RETRIED)
  async above(outcome: string): Promise<string> {
    return this.write(this.host.tx, outcome);
  }

  @Step(RETRIED)
  @Transactional()
  async below(outcome: string): Promise<string> {
    return this.write(this.host.tx, outcome);
  }

  @TypeOrmTransactional()
  @Step(RETRIED)
  async typeorm(outcome: string): Promise<string> {
    return this.write(this.dataSource, outcome);
  }

  @Counted()
  @SetMetadata('above', 1)
  @Step(RETRIED)
  @SetMetadata('below', 2)
  async counted(outcome: string): Promise<string> {
    if (outcome === 'fail') throw new Error('after the insert');
    return outcome;
  }

  private async write(manager: { query(text: string, values: unknown[]): Promise<unknown> }, outcome: string): Promise<string> {
    await manager.query('INSERT INTO ledger VALUES ($1)', [outcome]);
    if (outcome === 'fail') throw new Error('after the insert');
    return outcome;
  }
}

type Entry = 'above' | 'below' | 'typeorm' | 'counted';

@Workflow({ name: 'book' })
class BookWorkflow {
  constructor(private readonly ledger: Ledger) {}

  async run({ entry, isByHand }: { entry: Entry; isByHand?: boolean }, ctx: WorkflowContext): Promise<string> {
    const ledger = isByHand ? new Ledger(undefined as never, undefined as never) : this.ledger;
    const kept = await ledger[entry]('keep');
    await ctx.sleep(50);
    return kept.concat(await ledger[entry]('fail').catch(() => ' failed'));
  }
}

let database: TestDatabase;
let client: WorkflowClient;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('CREATE TABLE ledger (outcome text)');
  initializeTransactionalContext({ storageDriver: StorageDriver.ASYNC_LOCAL_STORAGE });
  const adapter = new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() as string });
  const module = await bootApplication({
    imports: [
      TypeOrmModule.forRootAsync({
        useFactory: () => ({ type: 'postgres', url: database.url, applicationName: 'shop' }),
        dataSourceFactory: async (options) => addTransactionalDataSource(new DataSource(options as DataSourceOptions)),
      }),
      ClsModule.forRoot({ global: true, plugins: [new ClsPluginTransactional({ imports: [], adapter })] }),
      WorkflowModule.forRoot({ worker: { suspendAfter: 0 } }),
    ],
    providers: [BookWorkflow, Ledger],
  });
  client = module.get(WorkflowClient);
});
beforeEach(async () => {
  open = 0;
  await database.query('DELETE FROM ledger');
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

const idleInTransaction = () =>
  database.query(
    `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'shop' AND state LIKE 'idle in transaction%'`,
  );

describe('a decorator that surrounds a method with @Step', () => {
  it.each<Entry>(['above', 'below', 'typeorm'])('opens its transaction around the body, in each attempt (%s)', async (entry) => {
    const handle = await client.start(BookWorkflow, { entry });
    await expect(handle.result({ timeout: seconds(45) })).resolves.toBe('keep failed');
    expect(await database.query('SELECT outcome FROM ledger')).toEqual([{ outcome: 'keep' }]);
    expect(await idleInTransaction()).toEqual([]);
    const steps = (await client.steps(handle.runId)).filter(({ kind }) => kind === 'step');
    expect(steps.map(({ stepKey, attempts }) => [stepKey, attempts])).toEqual([
      [`Ledger.${entry}`, 1],
      [`Ledger.${entry}#2`, 2],
    ]);
  });

  it.each([false, true])('leaves nothing open while the run is suspended (instance made by hand: %s)', async (isByHand) => {
    await expect(client.execute(BookWorkflow, { entry: 'counted', isByHand })).resolves.toBe('keep failed');
    expect(open).toBe(0);
  });

  it('@Step keeps the metadata that decorators above and below it set on the method', () => {
    const method = Ledger.prototype.counted;
    expect([Reflect.getMetadata('above', method), Reflect.getMetadata('below', method)]).toEqual([1, 2]);
  });
});
