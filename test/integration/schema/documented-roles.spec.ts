import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { TypeOrmModule } from '@nestjs/typeorm';
import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { migrationSql, WorkflowClient, WorkflowModule, type WorkflowModuleOptions } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { Scenario } from '../../matrix/scenario.js';
import { StepsWorkflow, workflows } from '../../matrix/workflows.js';
import { seconds } from '../../support/wait.js';

/** Suffix that keeps role names unique, because all tests share one server. */
const suffix = `_${randomBytes(6).toString('hex')}`;
const ROLES = ['durable_migrator', 'durable_app', 'durable_reader', 'durable_auditor'] as const;

/** The SQL of docs/operations.md, with the suffix on the names of the roles. */
async function documentedSql(): Promise<string[]> {
  const text = await readFile('docs/operations.md', 'utf8');
  const section = /^## Roles and rights$([\s\S]*?)^## /m.exec(text)![1]!;
  return [...section.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql]) =>
    sql!.replaceAll(/durable_(migrator|app|reader|auditor)/g, `$&${suffix}`),
  );
}

describe('the roles of docs/operations.md', () => {
  let database: TestDatabase;
  let auditor = '';
  beforeAll(async () => {
    database = await createTestDatabase();
    const [create, ...rest] = await documentedSql();
    expect(rest).toHaveLength(1);
    auditor = rest[0]!;
    await database.query(create!);
  });
  afterEach(closeApplications);
  afterAll(async () => {
    for (const role of ROLES) await database.query(`DROP OWNED BY ${role}${suffix} CASCADE; DROP ROLE ${role}${suffix}`);
    await database.drop();
  });

  const boot = (role: (typeof ROLES)[number], options: WorkflowModuleOptions): Promise<TestingModule> => {
    const url = new URL(database.url);
    url.username = `${role}${suffix}`;
    url.password = 'change-me';
    return bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: url.href, autoLoadEntities: true, retryAttempts: 0, poolSize: 2 }),
        WorkflowModule.forRoot(options),
      ],
      providers: workflows,
    });
  };

  it('allow only the migrator to create the tables', async () => {
    await expect(boot('durable_app', { worker: {} })).rejects.toThrow(/permission denied.*autoMigrate: false/);
    await closeApplications();
    await boot('durable_migrator', { worker: false });
    const [{ owners }] = (await database.query(
      `SELECT array_agg(DISTINCT tableowner::text) AS owners FROM pg_tables WHERE schemaname = 'durable'`,
    )) as [{ owners: string[] }];
    expect(owners).toEqual([`durable_migrator${suffix}`]);
  });

  it('allow the application every operation but changes of the schema', async () => {
    const module = await boot('durable_app', { autoMigrate: false, worker: { suspendAfter: 0 } });

    const answers = await new Scenario(module).play();

    expect(Object.entries(answers).filter(([, answer]) => typeof answer === 'string' && answer.includes('Error'))).toEqual([]);
    expect(answers).toMatchObject({ transactions: { rolledBack: 'Error: taken back' }, bulk: { count: 3, waiting: 0 } });
    // The application may change rows only.
    await expect(database.query(`SET ROLE durable_app${suffix}; CREATE TABLE durable.more (id int)`)).rejects.toThrow(/permission denied/);
  });

  it('allow the reader to read, and to write nothing', async () => {
    const module = await boot('durable_reader', { autoMigrate: false, worker: false });
    const client = module.get(WorkflowClient);

    const { runs } = await client.list({ name: 'waits' });
    const { runId } = runs[0]!;
    expect(runId).toBe('waits');
    await expect(client.count({ status: 'completed' })).resolves.toBeGreaterThan(10);
    await expect(client.failures({ since: '1h', groupBy: ['workflow'] })).resolves.toEqual(expect.any(Array));
    await expect(client.describe(runId)).resolves.toMatchObject({ status: 'completed' });
    expect((await client.steps(runId)).length).toBeGreaterThan(2);
    const { entries } = await client.history(runId);
    expect(entries.find(({ kind }) => kind === 'hook_created')?.name).toBe('token-of');
    await expect(client.health()).resolves.toMatchObject({ database: { isReachable: true }, worker: { state: 'stopped' } });
    await expect(client.metrics()).resolves.toMatch(/^nestjs_durable_database_up 1$/m);
    await expect(client.getHandle(runId).result({ timeout: seconds(5) })).resolves.toMatchObject({ key: 'hook' });

    await expect(client.start(StepsWorkflow, {}, { id: 'by-a-reader' })).rejects.toThrow(/permission denied/);
    await expect(client.cancel(runId)).rejects.toThrow(/permission denied/);
    await expect(client.count({ name: 'steps', status: 'pending' })).resolves.toBe(0);
  });

  it('show the auditor what has happened to a run, and no token of a hook', async () => {
    await database.query(auditor);
    const tokens = await database.query<{ token: string }>(`SELECT output ->> 'token' AS token FROM durable.workflow_steps
      WHERE run_id = 'waits' AND step_key LIKE 'hook%' AND kind = 'step'`);
    expect(tokens).toEqual([{ token: expect.stringMatching(/^token-of.+/) }]);
    const url = new URL(database.url);
    url.username = `durable_auditor${suffix}`;
    url.password = 'change-me';
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    try {
      const columns = 'at, kind, step_key, name, attempt, epoch';
      const { rows } = await client.query<{ kind: string; name: string | null }>(
        `SELECT ${columns} FROM durable.workflow_history WHERE run_id = 'waits' ORDER BY at, rank, number`,
      );
      expect(rows.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['run_created', 'hook_created', 'run_completed']));
      expect(JSON.stringify(rows)).not.toContain(tokens[0]!.token);
      for (const column of ['output', 'error', 'data', '*'])
        await expect(client.query(`SELECT ${column} FROM durable.workflow_history`)).rejects.toThrow(/permission denied/);
      const tables = await database.query<{ name: string }>(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'durable'`);
      expect(tables.length).toBeGreaterThan(10);
      for (const { name } of tables) await expect(client.query(`SELECT * FROM durable.${name}`)).rejects.toThrow(/permission denied/);
    } finally {
      await client.end();
    }
    await expect(boot('durable_auditor', { autoMigrate: false, worker: false })).rejects.toThrow(/permission denied/);
  });

  it('get an error that names the missing rights when the tables were made by hand', async () => {
    await database.query(migrationSql({ schema: 'by_hand' }));

    await expect(boot('durable_app', { schema: 'by_hand', autoMigrate: false })).rejects.toThrow(
      /permission denied.*Grant the role USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE/,
    );
  });
});
