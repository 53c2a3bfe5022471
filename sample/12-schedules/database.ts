import { startEmbeddedPostgres } from 'nestjs-durable';
import pg from 'pg';

export const SCHEMA = 'durable_schedules';

/** A database for the sample, and how to leave it as it was. */
export interface SampleDatabase {
  url: string;
  remove(): Promise<void>;
}

/** Creates the schema on the server of `DATABASE_URL`, or on a server that comes from npm. */
export async function openDatabase(): Promise<SampleDatabase> {
  const given = process.env['DATABASE_URL'];
  const embedded = given ? undefined : await startEmbeddedPostgres();
  const url = given || embedded!.url;
  await execute(url, `DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`, `CREATE SCHEMA ${SCHEMA}`);
  await execute(url, `CREATE TABLE ${SCHEMA}.tenants (id text PRIMARY KEY, timezone text NOT NULL)`);
  return {
    url,
    remove: async () => {
      await execute(url, `DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
      await embedded?.stop();
    },
  };
}

async function execute(url: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of ['SET client_min_messages = warning', ...statements]) await client.query(statement);
  } finally {
    await client.end();
  }
}
