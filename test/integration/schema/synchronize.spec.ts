import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Column, DataSource, Entity, PrimaryColumn, type MigrationInterface, type QueryRunner } from 'typeorm';

import { durableEntities, Workflow, WorkflowClient, WorkflowModule, WorkflowRun } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Entity({ name: 'invoices' })
class Invoice {
  @PrimaryColumn({ type: 'int' })
  id!: number;
}

/** The table `invoices` in the next version of the application. */
@Entity({ name: 'invoices' })
class LaterInvoice {
  @PrimaryColumn({ type: 'int' })
  id!: number;

  @Column({ type: 'text', nullable: true })
  note!: string | null;
}

class AddTotal1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE totals (id int PRIMARY KEY)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE totals');
  }
}

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string): Promise<string> {
    return `hello ${name}`;
  }
}

describe.each<{ where: string; ours: string; theirs: string | undefined }>([
  { where: 'in a schema of its own', ours: 'durable', theirs: undefined },
  { where: 'in public, beside the application’s tables', ours: 'public', theirs: undefined },
  { where: 'in the schema of the application’s DataSource', ours: 'shop', theirs: 'shop' },
])('the module’s tables $where', ({ ours, theirs }) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
    if (theirs) await database.query(`CREATE SCHEMA ${theirs}`);
  });
  afterEach(async () => {
    await closeApplications();
    await database.drop();
  });

  const boot = async (own: readonly (typeof durableEntities)[number][] = []) => {
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: database.url,
          ...(theirs === undefined ? {} : { schema: theirs }),
          autoLoadEntities: true,
          entities: [...own],
          synchronize: true,
          migrationsRun: true,
          migrations: [AddTotal1700000000000],
        }),
        TypeOrmModule.forFeature([Invoice]),
        WorkflowModule.forRoot({ schema: ours, worker: {} }),
      ],
      providers: [GreetWorkflow],
    });
    return { client: module.get(WorkflowClient), dataSource: module.get<DataSource>(getDataSourceToken()) };
  };
  /** Everything about the module's tables that DDL could change. */
  const shape = () =>
    database.query(
      `SELECT c.relname, c.oid::int, a.attname, a.atttypid::int, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS "default",
        (SELECT array_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid) AS indexes,
        (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid) AS constraints
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
      WHERE c.relnamespace = $1::regnamespace AND c.relname LIKE 'workflow\\_%' AND c.relkind IN ('r', 'v') ORDER BY 1, a.attnum`,
      [ours],
    );
  const columns = async () =>
    (await database.query(`SELECT column_name FROM information_schema.columns WHERE table_name = 'invoices' ORDER BY 1`)).map(
      ({ column_name }) => column_name,
    );
  const generated = async (dataSource: DataSource): Promise<string[]> => {
    const { upQueries, downQueries } = await dataSource.driver.createSchemaBuilder().log();
    return [...upQueries, ...downQueries].map(({ query }) => query);
  };

  it('are not changed by synchronize or a generated migration', async () => {
    const first = await boot();
    await first.client.execute(GreetWorkflow, 'Ada', { id: 'kept' });
    const before = await shape();
    expect(new Set(before.map(({ relname }) => relname)).size).toBeGreaterThanOrEqual(durableEntities.length);
    expect(await generated(first.dataSource)).toEqual([]);
    await first.dataSource.synchronize();
    expect(first.dataSource.entityMetadatas.map(({ tableName }) => tableName)).toEqual(['invoices']);
    // The application and the module each keep a list of migrations.
    const [{ theirs: applied }] = await database.query(`SELECT count(*)::int AS theirs FROM ${theirs ?? 'public'}.migrations`);
    expect(applied).toBe(1);
    expect(await first.dataSource.showMigrations()).toBe(false);
    await closeApplications();

    // A DataSource of the next version, as the command-line tool makes it.
    const tool = await new DataSource({
      type: 'postgres',
      url: database.url,
      ...(theirs === undefined ? {} : { schema: theirs }),
      entities: [LaterInvoice],
    }).initialize();
    try {
      const statements = await generated(tool);
      expect(statements.join('\n')).toContain('"note"');
      expect(statements.filter((statement) => statement.includes('workflow_'))).toEqual([]);
      await tool.synchronize();
      expect(await columns()).toEqual(['id', 'note']);
    } finally {
      await tool.destroy();
    }

    // This boot synchronizes the tables of the application back.
    const second = await boot();
    expect(await columns()).toEqual(['id']);
    expect(await shape()).toEqual(before);
    await expect(second.client.getHandle('kept').result()).resolves.toBe('hello Ada');
    await expect(second.client.execute(GreetWorkflow, 'Bob')).resolves.toBe('hello Bob');
  });

  it('are not changed when the application puts the module’s entities into its own DataSource', async () => {
    const { client, dataSource } = await boot(durableEntities);
    const before = await shape();
    expect(await generated(dataSource)).toEqual([]);
    await dataSource.synchronize();
    expect(await shape()).toEqual(before);
    await client.execute(GreetWorkflow, 'Ada', { id: 'read' });
    if (ours !== 'durable')
      await expect(dataSource.getRepository(WorkflowRun).findOneByOrFail({ id: 'read' })).resolves.toMatchObject({ name: 'greet' });
  });
});
