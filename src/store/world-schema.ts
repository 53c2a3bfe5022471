import { worldMigrations } from '../../migrations/index.js';
import type { Database } from './database.js';
import { migrate } from './migrate.js';

/**
 * Migrates the schema of a World, or only checks it, with the runner of the package's own schema.
 * Returns the migrations that this call has run.
 *
 * @throws SchemaMismatchError when migrations are missing and may not be run
 */
export async function prepareWorldSchema(database: Database, autoMigrate: 'migrate' | 'check'): Promise<string[]> {
  const connection = {
    query: async (sql: string, parameters?: unknown[]): Promise<unknown> => (await database.pool.query(sql, parameters)).rows,
    transaction: <T>(work: (query: (sql: string, parameters?: unknown[]) => Promise<unknown>) => Promise<T>): Promise<T> =>
      database.transaction((client) => work(async (sql, parameters) => (await client.query(sql, parameters)).rows)),
  };
  return migrate(connection, { schema: database.schemaName, migrations: worldMigrations, autoMigrate });
}
