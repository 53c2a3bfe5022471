import type { Database, Statement } from '../database.js';
import { readCluster } from './replica.js';

const READ: Statement = {
  name: 'durable_read_home',
  text: (schema) => `SELECT d.oid::text, h.system_identifier, h.database_oid, h.environment
FROM pg_catalog.pg_database d LEFT JOIN ${schema}.workflow_home h ON h.id = 1 WHERE d.datname = current_database()`,
};

const WRITE: Statement = {
  name: 'durable_write_home',
  text: (schema) => `INSERT INTO ${schema}.workflow_home AS h (id, system_identifier, database_oid, environment) VALUES (1, $1, $2, $3)
ON CONFLICT (id) DO UPDATE SET system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,
  environment = excluded.environment, recorded_at = now()
WHERE h.database_oid = $4`,
};

const UNFINISHED: Statement = {
  name: 'durable_has_unfinished_runs',
  text: (schema) => `SELECT true FROM ${schema}.workflow_runs WHERE status IN ('pending', 'running', 'waiting', 'paused') LIMIT 1`,
};

/** Location of a database. A copy of the database has another location. */
export interface Home {
  /** PostgreSQL's identifier of the database cluster. Null when the role may not read it. */
  readonly systemIdentifier: string | null;
  readonly databaseOid: string;
}

/**
 * Location that is recorded in a database. A copy of the database contains the location of the
 * original.
 */
export interface RecordedHome extends Home {
  readonly environment: string | null;
}

/**
 * Reads the actual location of the database, and the location that is recorded in it. They differ
 * when the database is a copy.
 */
export async function readHome(database: Database): Promise<{ readonly here: Home; readonly recorded: RecordedHome | undefined }> {
  const [row] = await database.query<[string, string | null, string | null, string | null]>(READ, []);
  const [databaseOid, system, oid, environment] = row!;
  const here = { systemIdentifier: await readCluster((statement) => database.query(statement, [])), databaseOid };
  return { here, recorded: oid === null ? undefined : { systemIdentifier: system, databaseOid: oid, environment } };
}

/**
 * Records the location, unless another process has recorded a different location since `before` was
 * read.
 */
export async function recordHome(
  database: Database,
  { systemIdentifier, databaseOid }: Home,
  environment: string | null,
  before: RecordedHome | undefined,
): Promise<void> {
  await database.query(WRITE, [systemIdentifier, databaseOid, environment, before?.databaseOid ?? null]);
}

export async function hasUnfinishedRuns(database: Database): Promise<boolean> {
  return (await database.query<[boolean]>(UNFINISHED, [])).length > 0;
}
