import { randomBytes } from 'node:crypto';
import { startEmbeddedPostgres } from 'nestjs-durable';
import pg from 'pg';

/** The server that everything is measured on. */
export interface BenchServer {
  readonly version: string;
  readonly embedded: boolean;
  /** A connection to a database in which nothing is measured. */
  readonly admin: pg.Pool;
  createDatabase(): Promise<BenchDatabase>;
  /** So that each measurement starts equally far from the last checkpoint. */
  checkpoint(): Promise<void>;
  stop(): Promise<void>;
}

export interface BenchDatabase {
  readonly name: string;
  readonly url: string;
  drop(): Promise<void>;
}

const ignoreError = (): void => undefined;

/** The server of DATABASE_URL, else one of our own that survives a power cut like any other. */
export async function openServer(): Promise<BenchServer> {
  const given = process.env['DATABASE_URL'];
  const embedded = given ? undefined : await startEmbeddedPostgres();
  const url = given || embedded!.url;
  const admin = new pg.Pool({ connectionString: url, max: 2, allowExitOnIdle: true });
  admin.on('error', ignoreError);
  const databases = new Map<string, BenchDatabase>();

  const drop = async (name: string): Promise<void> => {
    if (!databases.delete(name)) return;
    await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  };
  const stop = async (): Promise<void> => {
    try {
      if (given) for (const name of databases.keys()) await drop(name);
    } finally {
      await admin.end();
      await embedded?.stop();
    }
  };
  let stopped: Promise<void> | undefined;
  try {
    const { rows } = await admin.query<{ server_version: string }>('SHOW server_version');
    return {
      version: rows[0]!.server_version,
      embedded: embedded !== undefined,
      admin,
      async createDatabase() {
        const name = `durable_bench_${randomBytes(6).toString('hex')}`;
        await admin.query(`CREATE DATABASE "${name}" TEMPLATE template0 ENCODING 'UTF8'`);
        const own = new URL(url);
        own.pathname = `/${name}`;
        const database = { name, url: own.href, drop: () => drop(name) };
        databases.set(name, database);
        return database;
      },
      async checkpoint() {
        // Not everybody may.
        await admin.query('CHECKPOINT').catch(ignoreError);
      },
      stop: () => (stopped ??= stop()),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Does something with a connection of its own. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', ignoreError);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
