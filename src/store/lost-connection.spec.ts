import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource, type QueryRunner } from 'typeorm';

import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { waitFor } from '../../test/support/wait.js';
import { isAway } from './database-errors.js';

let database: TestDatabase;
let dataSource: DataSource;
let runner: QueryRunner;
beforeAll(async () => {
  database = await createTestDatabase();
  dataSource = await new DataSource({ type: 'postgres', url: database.url }).initialize();
  runner = dataSource.createQueryRunner();
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

it('a query of TypeORM on a connection that the server has ended counts as an unreachable database', async () => {
  const connection = (await runner.connect()) as pg.PoolClient & { processID: number };
  await database.query('SELECT pg_terminate_backend($1)', [connection.processID]);
  await waitFor(() => runner.isReleased);
  const refusal = await runner.query('SELECT 1').catch((error: unknown) => error);
  expect(refusal).toMatchObject({ name: 'QueryRunnerAlreadyReleasedError' });
  expect(isAway(refusal)).toBe(true);
  const lost = await connection.query('SELECT 1').catch((error: unknown) => error);
  expect(lost).toMatchObject({ message: expect.stringContaining('not queryable') as unknown });
  expect(isAway(lost)).toBe(true);
});
