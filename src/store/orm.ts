import pg from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';

import { durableMigrations } from '../../migrations/index.js';
import type { Pooler } from '../core/pooler.js';
import { resolveSettings, type ConnectionSettings } from './connection-settings.js';
import { durableEntities } from './entities/index.js';
import { OwnClient } from './own-client.js';
import { FORMATS, withSettings } from './startup-options.js';
import { migrate, type MigratedConnection } from './migrate.js';

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
  return migrate(connectionOf(orm), { schema, migrations: durableMigrations, autoMigrate });
}

function connectionOf(orm: DataSource): MigratedConnection {
  return {
    query: (sql, parameters) => orm.query(sql, parameters),
    async transaction(work) {
      const runner = orm.createQueryRunner();
      try {
        await runner.startTransaction('READ COMMITTED');
        const result = await work((sql, parameters) => runner.query(sql, parameters));
        await runner.commitTransaction();
        return result;
      } catch (error) {
        if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
        throw error;
      } finally {
        await runner.release();
      }
    },
  };
}
