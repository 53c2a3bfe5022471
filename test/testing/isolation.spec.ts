import { InjectDataSource, TypeOrmModule } from '@nestjs/typeorm';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { DataSource } from 'typeorm';

import { OnRunEvent, Workflow, WorkflowModule, type RunEventOf, type WorkflowContext } from '../../src/index.js';
import { DATABASE_PREFIX, dropLeftovers, lockSpaceOf, markUsed } from '../../src/testing/database/leftover-databases.js';
import { WorkflowTest, WorkflowTestError } from '../../src/testing/index.js';

@Workflow({ name: 'sleeper' })
class Sleeper {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep('1 day');
    return 'awake';
  }
}

@Injectable()
class Audit {
  readonly completed: string[] = [];

  constructor(@InjectDataSource() readonly dataSource: DataSource) {}

  @OnRunEvent('run.completed')
  async note({ runId }: RunEventOf<'run.completed'>): Promise<void> {
    this.completed.push(runId);
  }
}

describe('the database of a test', () => {
  let admin: pg.Client;
  const open: { close(): Promise<void> }[] = [];

  beforeAll(() => {
    process.env['DATABASE_URL'] = process.env['DURABLE_TEST_SERVER_URL'];
  });
  afterEach(async () => {
    jest.useRealTimers();
    await Promise.all(open.splice(0).map((each) => each.close()));
  });

  const sleepers = (): ReturnType<typeof Test.createTestingModule> =>
    Test.createTestingModule({ imports: [WorkflowModule.forRoot({})], providers: [Sleeper] });
  const create = async (): Promise<WorkflowTest> => {
    const test = await WorkflowTest.create(sleepers());
    open.push(test);
    return test;
  };
  const prefix = async (): Promise<string> => `${DATABASE_PREFIX}${await lockSpaceOf(admin)}_${process.pid}_`;
  /** Lists the databases of this process. */
  const names = async (): Promise<string[]> => {
    const { rows } = await admin.query<{ datname: string }>('SELECT datname FROM pg_database WHERE starts_with(datname, $1)', [
      await prefix(),
    ]);
    return rows.map(({ datname }) => datname);
  };
  const connect = async (): Promise<void> => {
    admin = new pg.Client({ connectionString: process.env['DURABLE_TEST_SERVER_URL'] });
    await admin.connect();
    open.push({ close: () => admin.end() });
  };

  it('is private: two applications never meet, each has its own time, and close drops both', async () => {
    await connect();
    const [one, other] = await Promise.all([create(), create()]);
    expect(await names()).toHaveLength(2);
    const run = await one.client.start(Sleeper);
    await other.advance('30 days');
    await one.runUntilIdle();
    expect(await run.status()).toBe('waiting');
    expect(await other.client.count({})).toBe(0);
    await Promise.all([one.close(), other.close()]);
    expect(await names()).toEqual([]);
  });

  it('is dropped later when its process was killed, and not while its process lives', async () => {
    await connect();
    const [left, used] = [`${await prefix()}left`, `${await prefix()}used`];
    const owner = new pg.Client({ connectionString: process.env['DURABLE_TEST_SERVER_URL'] });
    await owner.connect();
    open.push({ close: () => owner.end() });
    await markUsed(owner, used);
    for (const name of [used, left]) await owner.query(`CREATE DATABASE ${name} TEMPLATE template0`);
    // A database in use comes first, and does not count.
    await dropLeftovers(admin, await prefix(), 1);
    expect(await names()).toEqual([used]);
    await admin.query(`DROP DATABASE ${used}`);
  });

  it('outlives the start of a process that has a connection to another database of the server', async () => {
    await connect();
    const [test] = await Promise.all([create(), create()]);
    const database = (await names()).at(-1);
    const given = process.env['DATABASE_URL']!;
    process.env['DATABASE_URL'] = Object.assign(new URL(given), { pathname: database }).href;
    try {
      // A second copy of the module has a connection of its own, as a second process has.
      await jest.isolateModulesAsync(async () => {
        const { acquireServer, releaseServer } = await import('../../src/testing/database/test-server.js');
        await acquireServer();
        await releaseServer();
      });
    } finally {
      process.env['DATABASE_URL'] = given;
    }
    expect(await names()).toHaveLength(2);
    expect(await test.client.count({})).toBe(0);
  });

  it('is also the database of a DataSource in the application, with the clock of the test', async () => {
    const startAt = new Date('2031-01-01T00:00:00.000Z');
    const typeorm = TypeOrmModule.forRoot({ type: 'postgres', url: 'postgres://nobody@127.0.0.1:1/production', ssl: true });
    const test = await WorkflowTest.create(
      Test.createTestingModule({ imports: [typeorm, WorkflowModule.forRoot({ listen: true })], providers: [Sleeper, Audit] }),
      { startAt },
    );
    open.push(test);
    const audit = test.module.get(Audit);
    const rows: unknown = await audit.dataSource.query('SELECT current_database() AS name, now() AS now, current_schema() AS schema');
    expect(rows).toEqual([{ name: expect.stringContaining(DATABASE_PREFIX), now: startAt, schema: 'public' }]);
    const later = await new DataSource({ type: 'postgres', url: process.env['DATABASE_URL']! }).initialize();
    open.push({ close: () => later.destroy() });
    const elsewhere: unknown = await later.query('SELECT current_database() AS name');
    expect(elsewhere).toEqual([{ name: expect.not.stringContaining(DATABASE_PREFIX) }]);
    const run = await test.client.start(Sleeper);
    await test.advance('40 days');
    expect(await run.result()).toBe('awake');
    expect(audit.completed).toEqual([run.runId]);
    await audit.dataSource.query('CREATE TABLE notes (at timestamptz DEFAULT now())');
    await audit.dataSource.query('INSERT INTO notes DEFAULT VALUES');
    expect(await audit.dataSource.query('SELECT at FROM notes')).toEqual([{ at: test.now() }]);
  });

  it('works beside fake timers that leave nextTick and queueMicrotask, and refuses others at once', async () => {
    const test = await create();
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
    const run = await test.client.start(Sleeper);
    await test.advance('1 day');
    expect(await run.result()).toBe('awake');
    jest.useFakeTimers();
    await expect(test.advance('1 day')).rejects.toThrow(/process\.nextTick and queueMicrotask.*doNotFake/);
    await expect(test.runUntilIdle()).rejects.toBeInstanceOf(WorkflowTestError);
    await expect(test.stepsOf(run)).rejects.toBeInstanceOf(WorkflowTestError);
    await expect(test.close()).rejects.toBeInstanceOf(WorkflowTestError);
    await expect(create()).rejects.toBeInstanceOf(WorkflowTestError);
  });

  it('is dropped when the application does not boot', async () => {
    await connect();
    await expect(WorkflowTest.create(Test.createTestingModule({ providers: [Sleeper] }))).rejects.toThrow('imports no WorkflowModule');
    await expect(WorkflowTest.create(Test.createTestingModule({}), { startAt: 'soon' as never })).rejects.toThrow('options.startAt');
    expect(await names()).toEqual([]);
  });
});
