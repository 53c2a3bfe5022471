import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';

import { WorkflowConfigurationError } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let database: TestDatabase;
let latin: string;
beforeAll(async () => {
  database = await createTestDatabase();
  const url = new URL(database.url);
  const name = `${url.pathname.slice(1)}_latin`;
  await database.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`);
  url.pathname = `/${name}`;
  latin = url.href;
});
afterAll(async () => {
  await closeApplications();
  await database.query(`DROP DATABASE ${pg.escapeIdentifier(new URL(latin).pathname.slice(1))}`);
  await database.drop();
});

it('an application does not boot on a database whose encoding is not UTF8, and makes no schema in it', async () => {
  const error = await startApplication(latin, []).catch((thrown: unknown) => thrown);

  expect(error).toBeInstanceOf(WorkflowConfigurationError);
  expect(String(error)).toMatch(/needs a database whose encoding is UTF8; "durable_test_\w+" has LATIN1/);
  const client = new pg.Client({ connectionString: latin });
  await client.connect();
  expect((await client.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'durable'`)).rows).toEqual([]);
  await client.end();
});
