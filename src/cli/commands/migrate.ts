import { durableMigrations, missingMigrationSql } from '../../store/schema.js';
import type { OpenClients } from '../../store/server-watch.js';
import { readAppliedMigrations } from '../../store/sql/applied-migrations.js';
import { readClock } from '../../store/sql/connection-probes.js';
import type { Connection } from '../connection.js';
import { CommandError, usageError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { failedMigration } from '../failed-migration.js';
import type { Action } from '../action.js';

/** Applies the migrations that the schema lacks, or shows them. */
export const migrate: Action = async ({ given, io, printer, databaseUrl, schema, connect }) => {
  if (given.has('sql') && given.has('dry-run')) throw usageError('give either --sql or --dry-run');
  if (given.has('sql') && databaseUrl === undefined) {
    await io.write(missingMigrationSql(schema, []));
    return EXIT.ok;
  }
  const connection = await connect();
  if (given.has('sql') || given.has('dry-run')) {
    const applied = (await readAppliedMigrations(connection.database)) ?? [];
    if (given.has('sql')) {
      await io.write(missingMigrationSql(schema, applied));
      return EXIT.ok;
    }
    const missing = durableMigrations.map(({ migrationName }) => migrationName).filter((name) => !applied.includes(name));
    await printer.result(inWords('Would apply', missing, schema), { schema, missing });
    return EXIT.ok;
  }
  printer.progress('migrating ...');
  const applied = await apply(connection, schema);
  await printer.result(inWords('Applied', applied, schema), { schema, applied });
  return EXIT.ok;
};

/** Applies the missing migrations as the module does at boot, but waits as long as they take. */
async function apply({ database, settings }: Connection, schema: string): Promise<string[]> {
  // Only this command needs TypeORM, which takes long to load.
  const [{ createOrm, prepareSchema }, { whileServerAnswers }] = await Promise.all([
    import('../../store/orm.js'),
    import('../../store/server-watch.js'),
  ]);
  const clients: OpenClients = new Set();
  const orm = createOrm(settings, schema, 'transaction', clients);
  try {
    return await whileServerAnswers(
      () => readClock(database),
      clients,
      async () => {
        await orm.initialize();
        return prepareSchema(orm, schema, 'migrate');
      },
    );
  } catch (error) {
    throw error instanceof CommandError ? error : failedMigration(error, schema);
  } finally {
    if (orm.isInitialized) await orm.destroy();
  }
}

function inWords(verb: string, names: readonly string[], schema: string): string {
  if (names.length === 0) return `Schema "${schema}" is up to date. No migration is missing.`;
  return `${verb} to schema "${schema}": ${names.join(', ')}`;
}
