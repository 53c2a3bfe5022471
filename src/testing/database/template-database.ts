import { createHash } from 'node:crypto';

import type pg from 'pg';

import { DEFAULT_SCHEMA, durableMigrations } from '../../store/schema.js';
import { createOrm, prepareSchema } from '../../store/orm.js';
import { CREATE_CLOCK, SEARCH_PATH } from './sql-clock.js';
import { dropDatabase, markUsed, unmarkUsed } from './leftover-databases.js';
import type { TestServer } from './test-server.js';

const PREFIX = 'durable_test_template_';

/** Hash of everything that a template contains, such as the module's migrations. */
const CONTENTS = createHash('sha256')
  .update([CREATE_CLOCK, SEARCH_PATH, ...durableMigrations.map(({ migrationName }) => migrationName)].join('\n'))
  .digest('hex')
  .slice(0, 16);

/**
 * Returns the name of the database of which each test gets a copy, with the module's tables and the
 * test's clock. Creates it unless a process has created it before.
 *
 * @param urlOf returns the URL of a database of the server
 */
export async function templateDatabase(
  { admin, lockSpace }: Pick<TestServer, 'admin' | 'lockSpace'>,
  urlOf: (database: string) => string,
): Promise<string> {
  // Processes that do not see each other's locks must not create the same template.
  const name = `${PREFIX}${CONTENTS}_${lockSpace}`;
  if (await exists(admin, name)) return name;
  await markUsed(admin, name);
  try {
    if (!(await exists(admin, name))) await create(admin, name, urlOf);
  } finally {
    await unmarkUsed(admin, name);
  }
  return name;
}

async function exists(admin: pg.Client, name: string): Promise<boolean> {
  const { rows } = await admin.query('SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1', [name]);
  return rows.length > 0;
}

async function create(admin: pg.Client, name: string, urlOf: (database: string) => string): Promise<void> {
  const draft = `${name}_draft`;
  await dropDatabase(admin, draft);
  await admin.query(`CREATE DATABASE ${draft} TEMPLATE template0 ENCODING 'UTF8'`);
  await useClock(admin, draft);
  const orm = createOrm({ connectionString: urlOf(draft) }, DEFAULT_SCHEMA);
  try {
    await orm.initialize();
    await orm.query(CREATE_CLOCK);
    await prepareSchema(orm, DEFAULT_SCHEMA, 'migrate');
  } finally {
    if (orm.isInitialized) await orm.destroy();
  }
  await admin.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
}

/**
 * Makes the test's clock the clock of a database. A copy of a database does not copy this setting.
 */
export async function useClock(admin: pg.Client, database: string): Promise<void> {
  await admin.query(`ALTER DATABASE ${admin.escapeIdentifier(database)} SET search_path = ${SEARCH_PATH}`);
}
