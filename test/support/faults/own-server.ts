import pg from 'pg';

import { startEmbeddedPostgres } from '../../../src/index.js';
import type { TestDatabase } from '../database.js';

/** Starts a server whose commits survive SIGKILL. Returns its database `postgres`. */
export async function ownServer(): Promise<TestDatabase> {
  const server = await startEmbeddedPostgres();
  const pool = new pg.Pool({ connectionString: server.url, max: 3, allowExitOnIdle: true });
  pool.on('error', () => undefined);
  return {
    url: server.url,
    query: async <Row>(sql: string, params?: readonly unknown[]) => (await pool.query(sql, params && [...params])).rows as Row[],
    drop: async () => {
      await pool.end();
      await server.stop();
    },
  };
}

/** Ends the server as a crash does. It starts again by itself, at the same address. */
export async function crashServer(database: TestDatabase): Promise<void> {
  const [{ file }] = (await database.query<{ file: string }>(`SELECT pg_read_file('postmaster.pid') AS file`)) as [{ file: string }];
  process.kill(Number(file.split('\n')[0]), 'SIGKILL');
}
