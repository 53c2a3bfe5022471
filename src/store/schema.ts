import { migrationSql as sqlOfAll } from '../../migrations/index.js';
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';

/** The door to the migrations for the floors above. */
export { DEFAULT_SCHEMA, durableMigrations, type DurableMigration } from '../../migrations/index.js';

/** @throws InvalidInputError when PostgreSQL or TypeORM could not use it */
export function checkSchemaName(schema: unknown, argument: string): string {
  const name = checkText(schema, argument);
  if (Buffer.byteLength(name) > 63) throw new InvalidInputError(argument, 'must have at most 63 bytes');
  // TypeORM takes a dot for the end of the database's name.
  if (name.includes('.')) throw new InvalidInputError(argument, 'must not contain a dot');
  return name;
}

/**
 * The SQL of all migrations, for teams that review and run DDL by hand.
 *
 * @param options.schema the schema to create the tables in. Default `durable`
 * @throws InvalidInputError
 * @example writeFileSync('durable.sql', migrationSql());
 */
export function migrationSql(options: { schema?: string } = {}): string {
  const { schema } = checkOptions(options, 'options', ['schema']);
  return sqlOfAll(schema === undefined ? {} : { schema: checkSchemaName(schema, 'options.schema') });
}
