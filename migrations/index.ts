import { Initial1763600000000 } from './1763600000000-initial.js';
import { Streams1764400003000 } from './1764400003000-streams.js';
import { DEFAULT_SCHEMA, quoteIdentifier, type DurableMigration } from './migration.js';

export { DEFAULT_SCHEMA, MIGRATIONS_TABLE, quoteIdentifier } from './migration.js';
export type { DurableMigration } from './migration.js';

/**
 * All migrations, oldest first: TypeORM migration classes, for applications that run them
 * themselves.
 *
 * They create the tables in the DataSource's `schema`, and record themselves in the schema's table
 * `workflow_migrations`. (default of `schema`: `'durable'`)
 */
export const durableMigrations: readonly DurableMigration[] = [Initial1763600000000, Streams1764400003000];

/** Builds the SQL of all migrations, in one transaction. */
export function migrationSql({ schema = DEFAULT_SCHEMA }: { schema?: string } = {}): string {
  const quoted = quoteIdentifier(schema);
  const parts = durableMigrations.map((each) => `-- ${each.migrationName}\n${each.upSql(quoted)}\n`);
  // The transaction makes the SQL all or nothing, also in a tool that commits after each statement.
  return `BEGIN;\n${parts.join('\n')}COMMIT;\n`;
}
