import { durableMigrations, migrationSql as sqlOfAll } from '../../migrations/index.js';
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

/** Migrations, exported for code outside the store. */
export { DEFAULT_SCHEMA, durableMigrations, worldMigrations, type DurableMigration } from '../../migrations/index.js';

/**
 * Checks the name of a schema.
 *
 * @throws InvalidInputError when PostgreSQL or TypeORM cannot use the name
 */
export function checkSchemaName(schema: unknown, argument: string): string {
  const name = checkText(schema, argument);
  if (Buffer.byteLength(name) > 63) throw new InvalidInputError(argument, 'must have at most 63 bytes');
  // TypeORM would read the text before a dot as the name of the database.
  if (name.includes('.')) throw new InvalidInputError(argument, 'must not contain a dot');
  return name;
}

/**
 * Returns the SQL of all migrations, for teams that review and run DDL by hand.
 *
 * @param options.schema the schema to create the tables in (default: `'durable'`)
 * @throws InvalidInputError when the schema's name is invalid
 * @example writeFileSync('durable.sql', migrationSql());
 */
export function migrationSql(options: { schema?: string } = {}): string {
  const { schema } = checkOptions(options, 'options', ['schema']);
  return sqlOfAll(schema === undefined ? {} : { schema: checkSchemaName(schema, 'options.schema') });
}

/**
 * Returns the SQL of those migrations that are not among the applied ones; an empty text when none
 * is missing.
 *
 * @param schema checked name of the schema
 */
export function missingMigrationSql(schema: string, applied: readonly string[]): string {
  const missing = durableMigrations.filter(({ migrationName }) => !applied.includes(migrationName));
  return missing.length === 0 ? '' : sqlOfAll({ schema }, missing);
}
