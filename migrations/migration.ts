import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where the migrations that a database has are listed. */
export const MIGRATIONS_TABLE = 'workflow_migrations';

/** The schema that is used when none is configured. */
export const DEFAULT_SCHEMA = 'durable';

/** A migration as TypeORM knows it, and as SQL for those who run their own. */
export interface DurableMigration {
  new (): MigrationInterface;
  readonly migrationName: string;
  /** The SQL that applies it, for a quoted schema; it also notes that it has been applied. */
  readonly upSql: (schema: string) => string;
  readonly downSql: (schema: string) => string;
}

/** Quotes an identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** CREATE SCHEMA IF NOT EXISTS asks for the right to create one even when it is there: a role without it could not migrate at all. */
function createSchemaSql(schema: string): string {
  const name = literal(schema.slice(1, -1).replaceAll('""', '"'));
  // A query of the catalog itself: to_regnamespace() may answer from a cache that is older than the lock that the migration waited for.
  const body = `BEGIN IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ${name}) THEN CREATE SCHEMA ${schema}; END IF; END`;
  return `DO ${literal(body)};`;
}

function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

function schemaOf(queryRunner: QueryRunner): string {
  const { schema } = queryRunner.connection.options as { schema?: string };
  return quoteIdentifier(schema ?? DEFAULT_SCHEMA);
}

/** A migration whose statements are text with the schema's quoted name in it. */
export function migration(name: string, up: (schema: string) => string, down: (schema: string) => string): DurableMigration {
  const table = (schema: string): string => `${schema}.${MIGRATIONS_TABLE}`;
  const upSql = (schema: string): string => `${createSchemaSql(schema)}
CREATE TABLE IF NOT EXISTS ${table(schema)} (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
${up(schema).trim()}
INSERT INTO ${table(schema)} (name) VALUES ('${name}');`;
  const downSql = (schema: string): string => `${down(schema).trim()}
DELETE FROM ${table(schema)} WHERE name = '${name}';`;
  return class implements MigrationInterface {
    static readonly migrationName = name;
    static readonly upSql = upSql;
    static readonly downSql = downSql;
    readonly name = name;

    async up(queryRunner: QueryRunner): Promise<void> {
      await queryRunner.query(upSql(schemaOf(queryRunner)));
    }

    async down(queryRunner: QueryRunner): Promise<void> {
      await queryRunner.query(downSql(schemaOf(queryRunner)));
    }
  };
}
