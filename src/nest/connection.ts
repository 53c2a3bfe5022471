import type { DataSource } from 'typeorm';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../embedded/index.js';
import type { ConnectionSettings } from '../store/database.js';
import { settingsOfDataSource } from '../store/connection-settings.js';
import { readDatabaseUrl } from './database-url.js';
import type { ModuleSettings } from './options.js';

/** The module's own pool: two connections for the journal and claims, the rest for everything else. */
const DEFAULT_POOL_SIZE = 5;

export interface ResolvedConnection {
  readonly settings: ConnectionSettings;
  readonly poolSize: number;
  readonly embedded: EmbeddedPostgres | undefined;
}

/**
 * Where the tables are: what `connection` says, else the application's DataSource, else `DATABASE_URL`.
 *
 * @throws WorkflowConfigurationError when there is none of them
 * @throws InvalidInputError when `DATABASE_URL` is no URL of a PostgreSQL database
 */
export async function resolveConnection(
  settings: ModuleSettings,
  dataSource: DataSource | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<ResolvedConnection> {
  const { connection } = settings;
  if (connection && 'embedded' in connection) {
    const embedded = await startEmbeddedPostgres(connection.embedded === true ? {} : connection.embedded);
    return { settings: { connectionString: embedded.url }, poolSize: DEFAULT_POOL_SIZE, embedded };
  }
  if (connection) {
    const { url, ssl, poolSize = DEFAULT_POOL_SIZE } = connection;
    return { settings: readDatabaseUrl(url, 'connection.url', ssl), poolSize, embedded: undefined };
  }
  if (dataSource) return { settings: settingsOfDataSource(dataSource), poolSize: DEFAULT_POOL_SIZE, embedded: undefined };
  const url = environment['DATABASE_URL'];
  if (url) return { settings: readDatabaseUrl(url, 'DATABASE_URL'), poolSize: DEFAULT_POOL_SIZE, embedded: undefined };
  throw new WorkflowConfigurationError(
    'WorkflowModule has no database: import TypeOrmModule.forRoot(), set DATABASE_URL, or pass { connection: { url } } or { connection: { embedded: true } }',
  );
}
