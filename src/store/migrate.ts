import { createHash } from 'node:crypto';

import { MIGRATIONS_TABLE, quoteIdentifier, type DurableMigration } from '../../migrations/index.js';
import { SchemaMismatchError } from '../core/errors/index.js';
import { checkServer } from './server-check.js';
import { explainReadOnly } from './standby.js';

/** Executes a query, and returns its rows as objects. */
type Query = (sql: string, parameters?: unknown[]) => Promise<unknown>;

/** Connection on which migrations are executed. */
export interface MigratedConnection {
  readonly query: Query;
  /** Executes queries in one transaction under READ COMMITTED. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
}

/** Schema and the migrations that belong to it. */
export interface MigratedSchema {
  /** Name of the schema, not quoted. */
  readonly schema: string;
  /** Migrations, oldest first. */
  readonly migrations: readonly DurableMigration[];
  /** `check` only checks the schema. */
  readonly autoMigrate: 'migrate' | 'check';
}

/**
 * Migrates a schema or, for `check`, only checks it. Only reads when no migration is missing.
 * Otherwise takes a lock, so that only one process at a time migrates. Returns the migrations that
 * this call has run.
 *
 * @throws SchemaMismatchError when migrations are missing and may not be run;
 * WorkflowConfigurationError when the module does not support the server; StandbyError when
 * migrations are missing and the server is a standby
 */
export async function migrate(connection: MigratedConnection, wanted: MigratedSchema): Promise<string[]> {
  const { schema, migrations, autoMigrate } = wanted;
  await checkServer(connection);
  const missing = await missingMigrations(connection.query, wanted);
  if (missing.length === 0) return [];
  if (autoMigrate === 'check') throw new SchemaMismatchError(schema, missing);
  try {
    return await connection.transaction(async (query) => {
      // While this transaction waits for a lock on a table, other transactions queue behind it. So
      // the wait has a limit.
      await query(`SET LOCAL lock_timeout = '60s'`);
      // The role's timeouts are meant for the application's queries, so they are turned off here.
      // Building an index, or waiting for another process's migration, may take longer.
      await query(NO_TIMEOUTS);
      await query('SELECT pg_advisory_xact_lock($1::bigint)', [migrationLock(schema)]);
      const stillMissing = await missingMigrations(query, wanted);
      const quoted = quoteIdentifier(schema);
      for (const each of migrations) if (stillMissing.includes(each.migrationName)) await query(each.upSql(quoted));
      return stillMissing;
    });
  } catch (error) {
    throw await explainReadOnly(error, () => isInRecovery(connection));
  }
}

/**
 * Selects whether the table of migrations exists. to_regclass() is not used, because it could read
 * a cache from before this process got the migration lock. This process would then repeat
 * migrations of another process.
 */
const HAS_MIGRATIONS = `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2) AS there`;

/** Turns off timeouts, but only those that this version of the server knows. */
const NO_TIMEOUTS = `SELECT set_config(name, '0', true) FROM pg_catalog.pg_settings
  WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')`;

async function isInRecovery({ query }: MigratedConnection): Promise<boolean> {
  const [row] = (await query('SELECT pg_catalog.pg_is_in_recovery() AS yes')) as [{ yes: boolean }];
  return row.yes;
}

async function missingMigrations(query: Query, { schema, migrations }: MigratedSchema): Promise<string[]> {
  const table = `${quoteIdentifier(schema)}.${MIGRATIONS_TABLE}`;
  const names = migrations.map((each) => each.migrationName);
  const [found] = (await query(HAS_MIGRATIONS, [schema, MIGRATIONS_TABLE])) as [{ there: boolean }];
  if (!found.there) return names;
  const applied = (await query(`SELECT name FROM ${table}`)) as { name: string }[];
  return names.filter((name) => !applied.some((row) => row.name === name));
}

function migrationLock(schema: string): string {
  return (createHash('sha256').update(`nestjs-durable migrations ${schema}`).digest().readBigInt64BE() >> 1n).toString();
}
