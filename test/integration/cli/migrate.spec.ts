import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { durableMigrations, migrationSql } from '../../../src/index.js';
import { command } from '../../support/command-line.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const NAMES = durableMigrations.map(({ migrationName }) => migrationName);

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const migrate = (...argv: string[]) => command(['migrate', '--schema', 'shop', ...argv], { url: database.url });

it('the command line names, prints and applies the migrations that a schema lacks', async () => {
  expect(await migrate('--dry-run')).toEqual({ code: 0, out: `Would apply to schema "shop": ${NAMES.join(', ')}\n`, err: '' });
  expect(await migrate('--sql')).toEqual({ code: 0, out: migrationSql({ schema: 'shop' }), err: '' });
  expect(await command(['migrate', '--sql'])).toEqual({ code: 0, out: migrationSql(), err: '' });
  expect((await migrate('--sql', '--dry-run')).code).toBe(2);
  expect(await database.query(`SELECT 1 FROM pg_namespace WHERE nspname IN ('shop', 'durable')`)).toEqual([]);

  expect(JSON.parse((await migrate('--json')).out)).toEqual({ schema: 'shop', applied: NAMES });

  expect((await database.query('SELECT name FROM shop.workflow_migrations')).map(({ name }) => name)).toEqual(NAMES);
  expect(await migrate()).toEqual({ code: 0, out: 'Schema "shop" is up to date. No migration is missing.\n', err: '' });
  expect(await migrate('--sql')).toEqual({ code: 0, out: '', err: '' });
});

it('the command line says which right a role lacks to migrate', async () => {
  const role = `limited_${process.pid}`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  try {
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    const outcome = await command(['migrate', '--schema', 'other'], { url: url.href });
    expect(outcome).toMatchObject({ code: 1, out: '' });
    expect(outcome.err).toMatch(/MIGRATION_FAILED: the migration failed, and nothing was changed: permission denied .*"Roles and rights"/);
  } finally {
    await database.query(`DROP ROLE ${role}`);
  }
});
