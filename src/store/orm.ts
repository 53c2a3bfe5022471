import { createHash } from 'node:crypto';

import pg from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';

import { durableMigrations, MIGRATIONS_TABLE, quoteIdentifier } from '../../migrations/index.js';
import { SchemaMismatchError } from '../core/errors/index.js';
import type { Pooler } from '../core/pooler.js';
import { resolveSettings, type ConnectionSettings } from './connection-settings.js';
import { durableEntities } from './entities/index.js';
import { OwnClient } from './own-client.js';
import { FORMATS, withSettings } from './startup-options.js';
import { checkServer } from './server-check.js';
import { explainReadOnly } from './standby.js';

/**
 * Creates the module's own DataSource for its entities in its schema. The DataSource uses at most
 * two connections, which close when idle.
 *
 * @param openClients set that contains the clients of the DataSource while they are open
 */
export function createOrm(settings: ConnectionSettings, schema: string, pooler?: Pooler, openClients?: Set<pg.Client>): DataSource {
  const { connectionTimeoutMillis, ...resolved } = resolveSettings(settings);
  const options = {
    type: 'postgres',
    // TypeORM would use pg-native where the application has installed it. This driver object has no
    // `native`, so TypeORM uses pg itself.
    driver: { Pool: pg.Pool },
    name: `nestjs-durable:${schema}`,
    schema,
    entities: [...durableEntities],
    synchronize: false,
    installExtensions: false,
    ...(resolved.database === undefined ? {} : { database: resolved.database }),
    extra: {
      application_name: 'nestjs-durable',
      ...resolved,
      // Entities need dates in ISO format, whatever DateStyle the role has.
      ...(pooler ? {} : { options: withSettings(resolved.options, FORMATS) }),
      connectTimeoutMillis: connectionTimeoutMillis,
      Client: OwnClient,
      openClients,
      max: 2,
      allowExitOnIdle: true,
    },
  };
  return new DataSource(options as DataSourceOptions);
}

/**
 * Migrates the schema or, for `check`, only checks it. Only reads when no migration is missing.
 * Otherwise takes a lock, so that only one process at a time migrates. Returns the migrations that
 * this call has run.
 *
 * @throws SchemaMismatchError when migrations are missing and may not be run;
 * WorkflowConfigurationError when the module does not support the server; StandbyError when
 * migrations are missing and the server is a standby
 */
export async function prepareSchema(orm: DataSource, schema: string, autoMigrate: 'migrate' | 'check'): Promise<string[]> {
  await checkServer(orm);
  const missing = await missingMigrations(orm, schema);
  if (missing.length === 0) return [];
  if (autoMigrate === 'check') throw new SchemaMismatchError(schema, missing);
  const runner = orm.createQueryRunner();
  try {
    await runner.startTransaction('READ COMMITTED');
    // While this transaction waits for a lock on a table, other transactions queue behind it. So
    // the wait has a limit.
    await runner.query(`SET LOCAL lock_timeout = '60s'`);
    // The role's timeouts are meant for the application's queries, so they are turned off here.
    // Building an index, or waiting for another process's migration, may take longer.
    await runner.query(NO_TIMEOUTS);
    await runner.query('SELECT pg_advisory_xact_lock($1::bigint)', [migrationLock(schema)]);
    const stillMissing = await missingMigrations(orm, schema, runner.query.bind(runner));
    for (const Migration of durableMigrations) if (stillMissing.includes(Migration.migrationName)) await new Migration().up(runner);
    await runner.commitTransaction();
    return stillMissing;
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
    throw await explainReadOnly(error, () => isInRecovery(orm));
  } finally {
    await runner.release();
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

async function isInRecovery(orm: DataSource): Promise<boolean> {
  const [row] = (await orm.query('SELECT pg_catalog.pg_is_in_recovery() AS yes')) as [{ yes: boolean }];
  return row.yes;
}

type Query = (sql: string, parameters?: unknown[]) => Promise<unknown>;

async function missingMigrations(orm: DataSource, schema: string, query: Query = orm.query.bind(orm)): Promise<string[]> {
  const table = `${quoteIdentifier(schema)}.${MIGRATIONS_TABLE}`;
  const names = durableMigrations.map((each) => each.migrationName);
  const [found] = (await query(HAS_MIGRATIONS, [schema, MIGRATIONS_TABLE])) as [{ there: boolean }];
  if (!found.there) return names;
  const applied = (await query(`SELECT name FROM ${table}`)) as { name: string }[];
  return names.filter((name) => !applied.some((row) => row.name === name));
}

function migrationLock(schema: string): string {
  return (createHash('sha256').update(`nestjs-durable migrations ${schema}`).digest().readBigInt64BE() >> 1n).toString();
}
