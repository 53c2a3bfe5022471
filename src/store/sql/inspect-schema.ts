import { migrationSql } from '../../../migrations/index.js';
import type { Database } from '../database.js';

/** Tables and indexes that the migrations create. */
export interface ExpectedRelations {
  readonly tables: readonly string[];
  readonly indexes: readonly string[];
}

/**
 * Finds the names of tables and indexes in the SQL of the migrations, in the order of their
 * creation. A relation that a later migration drops is left out.
 */
export function expectedRelations(): ExpectedRelations {
  const sql = migrationSql({ schema: 's' });
  const tables = new Set<string>();
  const indexes = new Set<string>();
  const pattern =
    /CREATE TABLE (?:IF NOT EXISTS )?"s"\.(\w+)|CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(\w+)|CONSTRAINT (\w+) PRIMARY KEY|DROP (?:TABLE|INDEX) (?:IF EXISTS )?"s"\.(\w+)/g;
  for (const [, table, index, primaryKey, dropped] of sql.matchAll(pattern)) {
    if (table !== undefined) tables.add(table);
    const created = index ?? primaryKey;
    if (created !== undefined) indexes.add(created);
    if (dropped !== undefined && !tables.delete(dropped)) indexes.delete(dropped);
  }
  return { tables: [...tables], indexes: [...indexes] };
}

/** Names of the tables in the schema. Undefined when there is no such schema. */
export async function readTables(database: Database): Promise<string[] | undefined> {
  const rows = await database.read<[string | null]>(
    `SELECT c.relname FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
WHERE n.nspname = $1`,
    [database.schemaName],
  );
  return rows.length === 0 ? undefined : rows.flatMap(([name]) => name ?? []);
}

/** An index of the schema. */
export interface IndexState {
  readonly name: string;
  readonly isValid: boolean;
}

/** Reads the indexes of the schema, and whether queries may use them. */
export async function readIndexes(database: Database): Promise<IndexState[]> {
  const rows = await database.read<[string, boolean]>(
    `SELECT c.relname, i.indisvalid AND i.indisready FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1`,
    [database.schemaName],
  );
  return rows.map(([name, isValid]) => ({ name, isValid }));
}

/** Rights of the connected role on the tables of the module. */
export interface Rights {
  readonly role: string;
  readonly mayUseSchema: boolean;
  /** Rights that the role lacks, by table. Tables with all rights are left out. */
  readonly missing: readonly { readonly table: string; readonly rights: readonly string[] }[];
}

/** Reads the rights of the connected role on these tables. */
export async function readRights(database: Database, tables: readonly string[]): Promise<Rights> {
  const [schema] = await database.read<[string, boolean]>(
    `SELECT current_user::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE') FROM pg_catalog.pg_namespace n WHERE n.nspname = $1`,
    [database.schemaName],
  );
  const rows = await database.read<[string, string[]]>(
    `SELECT c.relname, array_agg(p.name ORDER BY p.place) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN (VALUES (1, 'SELECT'), (2, 'INSERT'), (3, 'UPDATE'), (4, 'DELETE')) AS p(place, name)
WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) AND NOT pg_catalog.has_table_privilege(c.oid, p.name) GROUP BY c.relname ORDER BY c.relname`,
    [database.schemaName, tables],
  );
  const [role, mayUseSchema] = schema!;
  return { role, mayUseSchema, missing: rows.map(([table, rights]) => ({ table, rights })) };
}
