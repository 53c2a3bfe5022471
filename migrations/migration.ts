import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Table that lists the migrations applied to a database. */
export const MIGRATIONS_TABLE = 'workflow_migrations';

/** Schema used when none is configured. */
export const DEFAULT_SCHEMA = 'durable';

/** A migration as a TypeORM class, and as SQL for teams that run DDL themselves. */
export interface DurableMigration {
  new (): MigrationInterface;
  readonly migrationName: string;
  /** SQL that applies the migration in a quoted schema, and records that it was applied. */
  readonly upSql: (schema: string) => string;
  readonly downSql: (schema: string) => string;
}

/** Quotes an identifier for use in SQL. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * Builds SQL that creates the schema if it is missing. CREATE SCHEMA IF NOT EXISTS requires the
 * right to create schemas even when the schema exists. A role without this right could then not
 * apply migrations.
 */
function createSchemaSql(schema: string): string {
  const name = quoteLiteral(schema.slice(1, -1).replaceAll('""', '"'));
  // Another process may have created the schema while the migration waited for a lock. The catalog
  // shows the schema, but to_regnamespace() may answer from an older cache.
  const body = `BEGIN IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ${name}) THEN CREATE SCHEMA ${schema}; END IF; END`;
  return `DO ${quoteLiteral(body)};`;
}

/** Quotes a text for use in SQL. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

function schemaOf(queryRunner: QueryRunner): string {
  const { schema } = queryRunner.connection.options as { schema?: string };
  return quoteIdentifier(schema ?? DEFAULT_SCHEMA);
}

/** Creates a migration whose statements contain the schema's quoted name. */
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
