import { startEmbeddedPostgres } from 'nestjs-durable';
import pg from 'pg';

export const SCHEMA = 'durable_quickstart';

export interface SampleDatabase {
  url: string;
  description: string;
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  remove(): Promise<void>;
}

/**
 * Connects to the server of `DATABASE_URL`, in a schema of the sample's own. Without that variable
 * it starts a real server that comes from npm.
 */
export async function openDatabase(): Promise<SampleDatabase> {
  const given = process.env['DATABASE_URL'];
  const embedded = given ? undefined : await startEmbeddedPostgres();
  const url = given || embedded!.url;
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // the next query reports the error too
  try {
    await client.connect();
    // Two samples at once on one server take turns. This also removes what a killed sample has
    // left.
    await client.query(`SELECT pg_advisory_lock(hashtext('${SCHEMA}'))`);
    await client.query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE; CREATE SCHEMA ${SCHEMA}`);
    await client.query(
      `CREATE TABLE ${SCHEMA}.card_processor (idempotency_key text PRIMARY KEY, cents int NOT NULL, requests int NOT NULL DEFAULT 1)`,
    );
    await client.query(`SET search_path = ${SCHEMA}`);
  } catch (error) {
    await client.end();
    await embedded?.stop();
    throw new Error(`${given ? 'The database of DATABASE_URL' : 'The embedded PostgreSQL'} cannot be used`, { cause: error });
  }
  const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
  return {
    url,
    description: `PostgreSQL ${rows[0]!.server_version.split(' ')[0]} ${given ? 'of DATABASE_URL' : 'from npm'}`,
    query: async <Row extends pg.QueryResultRow>(sql: string, values?: unknown[]) => (await client.query<Row>(sql, values)).rows,
    remove: async () => {
      await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
      await client.end();
      await embedded?.stop();
    },
  };
}
