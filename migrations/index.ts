import { Initial1763600000000 } from './1763600000000-initial.js';
import { DEFAULT_SCHEMA, quoteIdentifier, type DurableMigration } from './migration.js';

export { DEFAULT_SCHEMA, MIGRATIONS_TABLE, quoteIdentifier } from './migration.js';
export type { DurableMigration } from './migration.js';

/**
 * All migrations, oldest first: TypeORM migration classes, for applications that run them themselves.
 *
 * They create what they need in the DataSource's `schema` (`durable` when it has none) and note what they did in `workflow_migrations` there.
 */
export const durableMigrations: readonly DurableMigration[] = [Initial1763600000000];

/** The SQL of all migrations, in one transaction. */
export function migrationSql({ schema = DEFAULT_SCHEMA }: { schema?: string } = {}): string {
  const quoted = quoteIdentifier(schema);
  const parts = durableMigrations.map((each) => `-- ${each.migrationName}\n${each.upSql(quoted)}\n`);
  // All or nothing, also through a tool that commits after each statement.
  return `BEGIN;\n${parts.join('\n')}COMMIT;\n`;
}
