import { expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';

import { createTestDatabase } from '../../../test/support/database.js';
import { guardConnections } from './guard-connections.js';

it('a new connection of a guarded DataSource has one listener for errors before TypeORM adds one', async () => {
  const database = await createTestDatabase();
  const dataSource = await new DataSource({ type: 'postgres', url: database.url, poolSize: 3 }).initialize();
  const { master: pool } = dataSource.driver as unknown as { master: pg.Pool };
  guardConnections(dataSource);
  guardConnections(dataSource);
  // The pool has one connection from before.
  const clients = [await pool.connect(), await pool.connect(), await pool.connect()];
  const counts = clients.map((client) => client.listenerCount('error'));
  for (const client of clients) client.release();
  await dataSource.destroy();
  await database.drop();
  expect(counts).toEqual([0, 1, 1]);
});
