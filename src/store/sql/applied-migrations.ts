import { MIGRATIONS_TABLE } from '../../../migrations/index.js';
import type { Database } from '../database.js';

/**
 * Reads the names of the migrations that were applied to the schema, oldest first. Undefined when
 * the schema has no table of migrations.
 */
export async function readAppliedMigrations(database: Database): Promise<string[] | undefined> {
  const [found] = await database.read<[boolean]>(
    `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2)`,
    [database.schemaName, MIGRATIONS_TABLE],
  );
  if (!found![0]) return undefined;
  const rows = await database.read<[string]>(`SELECT name FROM ${database.schema}.${MIGRATIONS_TABLE} ORDER BY applied_at, name`, []);
  return rows.map(([name]) => name);
}
