import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource, DefaultNamingStrategy, EventSubscriber } from 'typeorm';

import { WorkflowModule } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { exercise, EXERCISE_WORKFLOWS } from '../../support/exercise.js';
import { seconds } from '../../support/wait.js';

class Prefixing extends DefaultNamingStrategy {
  override tableName(target: string, name: string | undefined): string {
    return `pre_${super.tableName(target, name)}`;
  }

  override columnName(property: string, name: string, prefixes: string[]): string {
    return `c_${super.columnName(property, name, prefixes)}`;
  }
}

@EventSubscriber()
class Meddler {
  afterLoad(entity: object): void {
    Object.assign(entity, { meddled: true });
  }
}

/**
 * Settings of the server's connections that change how values are written, ordered and compared.
 */
const STRANGE = [
  'search_path=nowhere',
  'datestyle=German,DMY',
  'intervalstyle=postgres_verbose',
  'timezone=Pacific/Chatham',
  'bytea_output=escape',
]
  .concat(['extra_float_digits=-10', 'standard_conforming_strings=off', 'default_transaction_isolation=serializable', 'array_nulls=off'])
  .map((setting) => `-c ${setting}`)
  .join(' ');

/** Time that no statement of the application needs. */
const SHORT_MS = seconds(0.5);

/** Settings of TypeORM that an application may have for reasons of its own. */
const CASES: [string, Record<string, unknown>][] = [
  ['a naming strategy', { namingStrategy: new Prefixing() }],
  ['entityPrefix', { entityPrefix: 'app_' }],
  ['schema', { schema: 'app' }],
  ['cache', { cache: { duration: 30_000, alwaysEnabled: true }, synchronize: true }],
  ['synchronize and dropSchema', { synchronize: true, dropSchema: true }],
  ['parseInt8', { parseInt8: true }],
  ['useUTC', { useUTC: true }],
  ['subscribers', { subscribers: [Meddler] }],
  ['poolSize 1', { poolSize: 1 }],
  ['extra.max 1', { extra: { max: 1, min: 1, maxUses: 1, idleTimeoutMillis: 1, maxLifetimeSeconds: 1 } }],
  [
    'timeouts in extra',
    {
      extra: {
        statement_timeout: SHORT_MS,
        query_timeout: SHORT_MS,
        lock_timeout: SHORT_MS,
        idle_in_transaction_session_timeout: SHORT_MS,
      },
    },
  ],
  ['short timeouts in extra', { extra: { connectionTimeoutMillis: seconds(2), lock_timeout: 1 } }],
  ['applicationName', { applicationName: 'x'.repeat(100) }],
  ['settings in extra.options', { extra: { options: STRANGE } }],
  ['invalidWhereValuesBehavior', { invalidWhereValuesBehavior: { null: 'throw', undefined: 'throw' } }],
  ['entitySkipConstructor', { entitySkipConstructor: true, relationLoadStrategy: 'query' }],
  [
    'metadataTableName and logNotifications',
    { metadataTableName: 'app_meta', migrationsTableName: 'app_migrations', logNotifications: true },
  ],
  ['poolErrorHandler', { poolErrorHandler: () => undefined }],
  ['isolationLevel', { isolationLevel: 'SERIALIZABLE' }],
  ['onConnect', { extra: { onConnect: () => undefined } }],
];

describe('the module beside settings of TypeORM', () => {
  let database: TestDatabase;
  let expected: unknown;

  const answers = async (options: object): Promise<unknown> => {
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, retryAttempts: 1, ...options }),
        WorkflowModule.forRoot({ worker: {} }),
      ],
      providers: EXERCISE_WORKFLOWS,
    });
    return exercise(module, module.get<DataSource>(getDataSourceToken()));
  };
  beforeAll(async () => {
    database = await createTestDatabase();
    await database.query('CREATE SCHEMA app');
    expected = await answers({});
    await closeApplications();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it.each(CASES)('gives the same answers with and without %s', async (_, options) => {
    expect(await answers(options)).toEqual(expected);
  });

  it('gives the same answers with and without replication', async () => {
    const options = { url: undefined, replication: { master: { url: database.url }, slaves: [{ url: database.url }] } };
    expect(await answers(options)).toEqual(expected);
  });

  it('gives the same answers with a DataSource from a factory', async () => {
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => ({ type: 'postgres', url: database.url }),
          dataSourceFactory: async (options) => new Proxy(await new DataSource(options!).initialize(), {}),
        }),
        WorkflowModule.forRoot({ worker: {} }),
      ],
      providers: EXERCISE_WORKFLOWS,
    });
    expect(await exercise(module, module.get<DataSource>(getDataSourceToken()))).toEqual(expected);
  });

  it('gives the same answers with a DataSource that connects later', async () => {
    const module = await bootApplication({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, manualInitialization: true }),
        WorkflowModule.forRoot({ worker: {} }),
      ],
      providers: EXERCISE_WORKFLOWS,
    });
    const { startedInTransaction: _started, cancelledInTransaction: _cancelled, ...others } = expected as Record<string, unknown>;
    expect(await exercise(module, undefined)).toEqual(others);
  });
});
