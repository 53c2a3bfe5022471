import { randomBytes } from 'node:crypto';

import { startEmbeddedPostgres } from 'nestjs-durable';
import pg from 'pg';

/** The database on which the chaos happens. */
export interface ChaosDatabase {
  readonly url: string;
  query<Row = any>(sql: string, params?: readonly unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

const ignoreError = (): void => undefined;

/** Does something with a connection of its own. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'chaos' });
  client.on('error', ignoreError);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * Creates a database on the server of DATABASE_URL, else on an embedded server, which need not
 * survive a power cut.
 */
export async function openDatabase(): Promise<ChaosDatabase> {
  const given = process.env['DATABASE_URL'];
  const embedded = given ? undefined : await startEmbeddedPostgres({ fast: true });
  const serverUrl = given || embedded!.url;
  const name = `durable_chaos_${randomBytes(6).toString('hex')}`;
  await withClient(serverUrl, (client) => client.query(`CREATE DATABASE "${name}" TEMPLATE template0 ENCODING 'UTF8'`));
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: url.href, application_name: 'chaos', max: 4 });
  pool.on('error', ignoreError);
  return {
    url: url.href,
    async query<Row>(sql: string, params?: readonly unknown[]): Promise<Row[]> {
      const result = await pool.query(sql, params === undefined ? undefined : [...params]);
      return result.rows as Row[];
    },
    async drop() {
      await pool.end();
      await withClient(serverUrl, (client) => client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`));
      await embedded?.stop();
    },
  };
}
