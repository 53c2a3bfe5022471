import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { DataSource } from 'typeorm';

import {
  durableEntities,
  durableMigrations,
  migrationSql,
  SchemaMismatchError,
  Workflow,
  WorkflowModule,
  type WorkflowContext,
} from '../../../src/index.js';
import { bootApplication, closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { killSpawned, spawnCompiled } from '../../support/processes.js';
import { seconds, waitFor } from '../../support/wait.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(1);
    return ctx.step('greet', () => `hello ${name}`);
  }
}

const NAMES = durableMigrations.map(({ migrationName }) => migrationName);

describe('the schema', () => {
  let database: TestDatabase;
  const all: TestDatabase[] = [];
  beforeEach(async () => {
    database = await createTestDatabase();
    all.push(database);
  });
  afterEach(async () => {
    await killSpawned();
    await closeApplications();
  });
  afterAll(() => Promise.all(all.map((each) => each.drop())));

  const boot = (options = {}) => startApplication(database.url, [GreetWorkflow], options);
  const works = async (options = {}): Promise<void> => {
    const { client } = await boot(options);
    await expect(client.execute(GreetWorkflow, 'Ada', { tags: { a: 'b' } })).resolves.toBe('hello Ada');
  };
  const schemas = async (): Promise<string[]> => {
    const rows = await database.query<{ name: string }>(
      `SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  };
  /** Everything that a migration makes, as text. */
  const shape = (schema: string) =>
    database.query(
      `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') AS line
         FROM information_schema.columns WHERE table_schema = $1
       UNION ALL SELECT replace(indexdef, quote_ident($1) || '.', '') FROM pg_indexes WHERE schemaname = $1
       UNION ALL SELECT conrelid::regclass::text || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = to_regnamespace(quote_ident($1))
       ORDER BY 1`,
      [schema],
    );

  it('is made once by three processes that boot at the same time', async () => {
    const processes = Array.from({ length: 3 }, () => spawnCompiled('test/processes/migrate.ts', { env: { DATABASE_URL: database.url } }));
    await Promise.all(processes.map((each) => each.waitForLine(/ready/, 60_000)));
    for (const { child } of processes) child.stdin!.write('go\n');
    const lines = await Promise.all(processes.map((each) => each.waitForLine(/started|failed/, 60_000)));
    expect(lines.filter((line) => !line.startsWith('started'))).toEqual([]);
    const exits = await Promise.all(processes.map(({ exited }) => exited));
    expect(exits).toEqual(processes.map(() => ({ code: 0, signal: null })));
    expect((await database.query('SELECT name FROM durable.workflow_migrations')).map(({ name }) => name)).toEqual(NAMES);
    expect(await database.query('SELECT id FROM durable.workflow_runs')).toHaveLength(3);
  });

  it('is made by ten modules of one process that boot at the same time', async () => {
    const clients = (await Promise.all(Array.from({ length: 10 }, () => boot({ worker: false })))).map(({ client }) => client);
    const handles = await Promise.all(clients.map((client, index) => client.start(GreetWorkflow, `${index}`)));
    expect(new Set(handles.map(({ runId }) => runId)).size).toBe(10);
    await boot();
    await expect(handles[7]!.result({ timeout: seconds(5) })).resolves.toBe('hello 7');
  });

  it('is not made with autoMigrate: false, and the error names the missing migrations', async () => {
    const error = await boot({ autoMigrate: false }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SchemaMismatchError);
    expect(error).toMatchObject({ schema: 'durable', missing: NAMES, code: 'SCHEMA_MISMATCH' });
    expect((error as Error).message).toContain(NAMES[0]);
    expect(await schemas()).toEqual(['public']);
    await database.query('CREATE SCHEMA durable');
    await expect(boot({ autoMigrate: false })).rejects.toMatchObject({ missing: NAMES });
  });

  it('can be made by hand with migrationSql()', async () => {
    await database.query(migrationSql());
    await works({ autoMigrate: false });
  });

  it('can be made by hand in a schema of another name', async () => {
    const schema = 'My "schema"';
    await database.query(migrationSql({ schema }));
    await works({ schema, autoMigrate: false });
    expect(await schemas()).toEqual([schema, 'public'].sort());
  });

  it('can be made by the application’s own TypeORM migrations', async () => {
    const migrations = [...durableMigrations];
    const dataSource = await new DataSource({ type: 'postgres', url: database.url, migrations }).initialize();
    try {
      const applied = await dataSource.runMigrations();
      expect(applied.map(({ name }) => name)).toEqual(NAMES);
      expect(await dataSource.runMigrations()).toEqual([]);
      await works({ autoMigrate: false });
      await closeApplications();
      for (const _ of NAMES) await dataSource.undoLastMigration();
      await expect(boot({ autoMigrate: false })).rejects.toMatchObject({ missing: NAMES });
      await dataSource.runMigrations();
    } finally {
      await dataSource.destroy();
    }
    await works();
  });

  it('can be made by TypeORM migrations without a transaction', async () => {
    const migrations = [...durableMigrations];
    const dataSource = await new DataSource({
      type: 'postgres',
      url: database.url,
      migrations,
      migrationsTransactionMode: 'none',
    }).initialize();
    await dataSource.runMigrations();
    await dataSource.destroy();
    await works({ autoMigrate: false });
  });

  it('is the same from migrationSql() and from the module, and its columns are those of the entities', async () => {
    await database.query(migrationSql());
    const byHand = await shape('durable');
    expect(byHand.length).toBeGreaterThan(80);
    await database.query('DROP SCHEMA durable CASCADE');
    await boot();
    expect(await shape('durable')).toEqual(byHand);
    const dataSource = await new DataSource({
      type: 'postgres',
      url: database.url,
      schema: 'durable',
      entities: [...durableEntities],
    }).initialize();
    try {
      // The entities name every column of the tables, and no other.
      const named = dataSource.entityMetadatas.flatMap(({ tableName, columns }) =>
        columns.map(({ databaseName }) => `${tableName}.${databaseName}`),
      );
      const there = byHand
        .map(({ line }) => /^workflow_\w+\.\w+(?= )/.exec(line)?.[0])
        .filter((name) => name !== undefined && !name.startsWith('workflow_migrations')) as string[];
      expect(named.toSorted()).toEqual(there.toSorted());
    } finally {
      await dataSource.destroy();
    }
  });

  it.each(['My "schema"', "it's $do$", 'ünïcödé;--', 'x'.repeat(63), 'select'])('may have the name %j', async (schema) => {
    await works({ schema });
    const quoted = `"${schema.replaceAll('"', '""')}"`;
    expect(await database.query(`SELECT status FROM ${quoted}.workflow_runs`)).toEqual([{ status: 'completed' }]);
    await closeApplications();
    await works({ schema, autoMigrate: false });
  });

  it('may exist several times in one database, each with runs of its own', async () => {
    const [first, second] = [await boot({ schema: 'first' }), await boot({ schema: 'second' })];
    await first.client.execute(GreetWorkflow, 'Ada', { id: 'same id' });
    await expect(second.client.status('same id')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
    await expect(second.client.execute(GreetWorkflow, 'Bob', { id: 'same id' })).resolves.toBe('hello Bob');
  });

  it('is not partly made when a migration fails', async () => {
    await database.query('CREATE SCHEMA durable; CREATE TABLE durable.workflow_sessions (of_somebody_else int)');
    await expect(boot()).rejects.toThrow(/already exists/);
    const tables = await database.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'durable'`);
    expect(tables).toEqual([{ tablename: 'workflow_sessions' }]);
  });

  it('is made when WorkflowModule is the only module', async () => {
    await bootApplication({ imports: [WorkflowModule.forRoot({ connection: { url: database.url } })] });
    expect(await schemas()).toEqual(['durable', 'public']);
  });

  it('is made after waiting for another process for longer than statement_timeout', async () => {
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    await other.query('BEGIN; CREATE SCHEMA durable');
    const name = `"${new URL(database.url).pathname.slice(1)}"`;
    await database.query(`ALTER DATABASE ${name} SET statement_timeout = '2s'`);
    const booting = boot();
    try {
      await waitFor(async () => {
        const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND now() - query_start > '2500ms'`;
        return (await database.query(waiting)).length > 0;
      });
      // The statements of later connections may be slow.
      await database.query(`ALTER DATABASE ${name} RESET statement_timeout`);
    } finally {
      await other.end();
    }
    const { client } = await booting;
    await expect(client.execute(GreetWorkflow, 'Ada')).resolves.toBe('hello Ada');
  });
});
