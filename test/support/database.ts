import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface TestDatabase {
  readonly url: string;
  query<Row = any>(sql: string, params?: readonly unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

function required(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set: run tests through Jest, whose global setup starts the server`);
  return value;
}

/** The server's error 57P01 on a connection that nobody uses just then would end the process. */
const ignoreError = (): void => undefined;

async function onServer(sql: (client: pg.Client) => string): Promise<void> {
  const client = new pg.Client({ connectionString: required('DURABLE_TEST_SERVER_URL') });
  client.on('error', ignoreError);
  await client.connect();
  try {
    await client.query(sql(client));
  } finally {
    await client.end();
  }
}

/** A fresh, empty database with a name of its own on the server of this Jest run. */
export async function createTestDatabase(encoding: 'UTF8' | 'LATIN1' = 'UTF8'): Promise<TestDatabase> {
  const name = `${required('DURABLE_TEST_DATABASE_PREFIX')}${randomBytes(6).toString('hex')}`;
  // template0: nobody is ever connected to it, so that tests may create databases at the same time.
  const locale = encoding === 'UTF8' ? '' : ` LOCALE 'C'`;
  await onServer((client) => `CREATE DATABASE ${client.escapeIdentifier(name)} TEMPLATE template0 ENCODING '${encoding}'${locale}`);

  const url = new URL(required('DURABLE_TEST_SERVER_URL'));
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: url.href, max: 3, allowExitOnIdle: true });
  pool.on('error', ignoreError);

  let dropped: Promise<void> | undefined;
  const drop = async (): Promise<void> => {
    await pool.end();
    await onServer((client) => `DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`);
  };
  return {
    url: url.href,
    async query<Row>(sql: string, params?: readonly unknown[]): Promise<Row[]> {
      const result = await pool.query(sql, params === undefined ? undefined : [...params]);
      return result.rows as Row[];
    },
    drop: () => (dropped ??= drop()),
  };
}
