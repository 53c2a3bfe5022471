import { randomBytes } from 'node:crypto';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, migrationSql, Workflow, WorkflowModule, WorkflowRun, type WorkflowContext } from '../../../src/index.js';
import { getRepositoryToken } from '@nestjs/typeorm';
import { DataSource, type Repository } from 'typeorm';
import { bootApplication, closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

@Workflow({ name: 'greet', retry: { initialInterval: 1 } })
class GreetWorkflow {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    let tries = 0;
    await ctx.sleep(20);
    return ctx.step('greet', () => {
      if (tries++ === 0) throw new Error('once');
      return `hello ${name}`;
    });
  }
}

/** A unique name, because roles belong to the server and not to a database. */
const role = `durable_test_${randomBytes(6).toString('hex')}`;

describe('a role with few rights', () => {
  let database: TestDatabase;
  let url: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    const [{ name }] = (await database.query('SELECT current_database() AS name')) as [{ name: string }];
    await database.query(
      `CREATE ROLE ${role} LOGIN PASSWORD 'x'; REVOKE ALL ON DATABASE "${name}" FROM PUBLIC; GRANT CONNECT ON DATABASE "${name}" TO ${role}`,
    );
    const own = new URL(database.url);
    own.username = role;
    own.password = 'x';
    url = own.href;
  });
  afterEach(closeApplications);
  afterAll(async () => {
    await database.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
    await database.drop();
  });

  const works = async (schema: string, autoMigrate: boolean): Promise<void> => {
    const { client } = await startApplication(url, [GreetWorkflow], { schema, autoMigrate, worker: { suspendAfter: 0 } });
    await expect(client.execute(GreetWorkflow, 'Ada', { tags: { a: 'b' } })).resolves.toBe('hello Ada');
    const delayed = await client.start(GreetWorkflow, 'Bob', { delay: '1h' });
    await delayed.cancel({ reason: 'not needed' });
    await expect(delayed.status()).resolves.toBe('cancelled');
  };

  it('cannot make the schema, and the boot fails with permission denied', async () => {
    await expect(startApplication(url, [GreetWorkflow], { schema: 'not_there' })).rejects.toThrow(/permission denied/);
  });

  it('makes the tables in a schema that it owns', async () => {
    await database.query(`CREATE SCHEMA made_before AUTHORIZATION ${role}`);
    await works('made_before', true);
  });

  it('makes the tables in a schema on which it has the right CREATE', async () => {
    await database.query(`CREATE SCHEMA shared; GRANT USAGE, CREATE ON SCHEMA shared TO ${role}`);
    await works('shared', true);
  });

  it('executes runs with rights on rows alone when another role made the tables', async () => {
    await database.query(migrationSql({ schema: 'migrated' }));
    await database.query(
      `GRANT USAGE ON SCHEMA migrated TO ${role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA migrated TO ${role}`,
    );
    await works('migrated', false);
    await closeApplications();
    await works('migrated', true);
  });

  it('starts runs in its transactions with SELECT and INSERT, and gets an error without these rights', async () => {
    const { client } = await startApplication(database.url, [GreetWorkflow], { schema: 'started' });
    const dataSource = await new DataSource({ type: 'postgres', url }).initialize();
    const start = () => dataSource.transaction((manager) => client.start(GreetWorkflow, 'Ada', { manager, tags: { a: 'b' } }));
    try {
      const error = await start().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidInputError);
      expect(error).toMatchObject({ argument: 'options.manager', message: expect.stringMatching(/rights.*permission denied/) });
      await database.query(`GRANT USAGE ON SCHEMA started TO ${role}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA started TO ${role}`);
      const handle = await start();
      await expect(handle.result({ timeout: seconds(30) })).resolves.toBe('hello Ada');
    } finally {
      await dataSource.destroy();
    }
  });

  it('gets permission denied, and not a missing schema, when it may not read the schema', async () => {
    await database.query(migrationSql({ schema: 'hidden' }));
    const error = await startApplication(url, [GreetWorkflow], { schema: 'hidden', autoMigrate: false }).catch(
      (thrown: unknown) => thrown as Error,
    );
    expect((error as Error).message).toMatch(/permission denied/);
  });
});

describe('repositories', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it.each(['My "schema"', "it's"])('read the tables of a schema called %j', async (schema) => {
    const options = { connection: { url: database.url }, schema, worker: {} };
    const module = await bootApplication({ imports: [WorkflowModule.forRoot(options)], providers: [GreetWorkflow] });
    const runs = module.get<Repository<WorkflowRun>>(getRepositoryToken(WorkflowRun));
    await expect(runs.count()).resolves.toBe(0);
  });

  it('are impossible with a dot in the name of the schema, which is refused', async () => {
    const options = { connection: { url: database.url }, schema: 'with.dot' };
    await expect(bootApplication({ imports: [WorkflowModule.forRoot(options)] })).rejects.toMatchObject({ argument: 'schema' });
  });
});
