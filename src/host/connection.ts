import type { DataSource } from 'typeorm';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../embedded/index.js';
import type { ConnectionSettings } from '../store/database.js';
import { settingsOfDataSource } from '../store/connection-settings.js';
import { BOOT_PATIENCE_MS } from './boot-retry.js';
import { readDatabaseUrl } from './database-url.js';
import type { ModuleSettings } from './settings.js';

/**
 * Number of connections in the module's own pool. Two are for claims of runs and for the journal,
 * which writes results. Three are for all other statements.
 */
const DEFAULT_POOL_SIZE = 5;

export interface ResolvedConnection {
  readonly settings: ConnectionSettings;
  readonly poolSize: number;
  readonly embedded: EmbeddedPostgres | undefined;
  /** Milliseconds that the boot waits for a database that does not answer. */
  readonly patienceMs: number;
}

/**
 * Finds the database that holds the module's tables: the option `connection`, or else the
 * application's DataSource, or else `DATABASE_URL`.
 *
 * @throws WorkflowConfigurationError when none of the three is present
 * @throws InvalidInputError when `DATABASE_URL` is not the URL of a PostgreSQL database
 */
export async function resolveConnection(
  settings: ModuleSettings,
  dataSource: DataSource | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<ResolvedConnection> {
  const { connection } = settings;
  const usual = { poolSize: DEFAULT_POOL_SIZE, embedded: undefined, patienceMs: BOOT_PATIENCE_MS };
  if (connection && 'embedded' in connection) {
    const embedded = await startEmbeddedPostgres(connection.embedded === true ? {} : connection.embedded);
    return { ...usual, settings: { connectionString: embedded.url }, embedded };
  }
  if (connection) {
    const { url, ssl, poolSize = DEFAULT_POOL_SIZE } = connection;
    return { ...usual, settings: readDatabaseUrl(url, 'connection.url', ssl), poolSize };
  }
  if (dataSource) return { ...usual, settings: settingsOfDataSource(dataSource), patienceMs: patienceOf(dataSource) };
  const url = environment['DATABASE_URL'];
  if (url) return { ...usual, settings: readDatabaseUrl(url, 'DATABASE_URL') };
  throw new WorkflowConfigurationError(
    'WorkflowModule has no database: import TypeOrmModule.forRoot(), set DATABASE_URL, or pass { connection: { url } } or { connection: { embedded: true } }',
  );
}

/**
 * Returns the milliseconds that TypeOrmModule waits for its own connection. This time follows from
 * two options of TypeOrmModule, which the DataSource contains.
 */
function patienceOf({ options }: DataSource): number {
  const { retryAttempts, retryDelay } = options as { retryAttempts?: unknown; retryDelay?: unknown };
  const attempts = typeof retryAttempts === 'number' ? retryAttempts : 10;
  const delay = typeof retryDelay === 'number' ? retryDelay : 3_000;
  return Math.max(0, attempts * delay);
}
