import { performance } from 'node:perf_hooks';

import type { DataSource } from 'typeorm';

import { WorkflowError } from '../core/errors/index.js';
import { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { outside } from '../core/outside.js';
import type { Warn } from '../core/log-fields.js';
import { Database } from '../store/database.js';
import { createOrm, prepareSchema } from '../store/orm.js';
import { whileServerAnswers, type OpenClients } from '../store/server-watch.js';
import { readClock } from '../store/sql/connection-probes.js';
import { QStashTransport } from '../transports/qstash/transport.js';
import { whileAway } from './boot-retry.js';
import { checkPool, failedBoot } from './connection-checks.js';
import { declareQueues } from './declare-queues.js';
import { exportMetrics } from './otel-meter.js';
import { resolveConnection } from './connection.js';
import { detectTracing } from './opentelemetry.js';
import { WorkflowRuntime, type RuntimeParts } from './runtime.js';
import { runtimeScope } from './runtime-scope.js';
import type { ModuleSettings } from './settings.js';
import { ApplicationTransactions } from './transactions/step-transactions.js';

/**
 * Connects to the database, brings the schema up to date and creates the runtime of a module. Waits
 * for a database that does not answer, but only for a limited time.
 *
 * @throws WorkflowConfigurationError, SchemaMismatchError, DatabaseUnavailableError
 */
export async function createRuntime(
  parts: RuntimeParts,
  given: ModuleSettings,
  dataSource: DataSource | undefined,
): Promise<WorkflowRuntime> {
  const scope = runtimeScope.getStore();
  const settings = scope ? scope.settingsOf(given, dataSource) : given;
  const warn: Warn = (code, message, error, fields) => runtime.warn(code, message, error, fields);
  const logTracing = await detectTracing(warn);
  const connection = await resolveConnection(settings, dataSource, process.env);
  const { schema, pooler } = settings;
  const openClients: OpenClients = new Set();
  const orm = createOrm(connection.settings, schema, pooler, openClients);
  const database = new Database(connection.settings, { schema, poolSize: connection.poolSize, pooler });
  const metrics = new DurableMetrics();
  const qstash = settings.qstash && (await QStashTransport.create(settings.qstash, database, metrics, warn));
  const away = (message: string): void => parts.logger.line('warn', message, { code: 'database-unreachable' });
  const transactions = new ApplicationTransactions(database, dataSource, settings, { patienceMs: connection.patienceMs, warn: away });
  const runtime: WorkflowRuntime = new WorkflowRuntime(parts, settings, database, orm, connection, metrics, qstash, transactions);
  logTracing();
  const prepare = async (): Promise<string[]> => {
    if (!orm.isInitialized) await orm.initialize();
    const migrated = await prepareSchema(orm, schema, settings.autoMigrate ? 'migrate' : 'check');
    await checkPool(database, settings);
    await declareQueues(database, settings);
    const askedAt = performance.now();
    runtime.clock.sync(await readClock(database), askedAt);
    return migrated;
  };
  try {
    const watched = (): Promise<string[]> => whileServerAnswers(() => readClock(database), openClients, prepare);
    // The module's own statements belong to no trace, also while it boots.
    const applied = await outside(whileAway, watched, connection.patienceMs, away);
    runtime.stopExport = await exportMetrics(runtime.metricsReader, parts.name, warn);
    // A replica that cannot be used is reported at boot, and not with the first query.
    void outside(() => runtime.replica?.check());
    scope?.created(runtime);
    if (applied.length > 0) runtime.logger.log(`database: brought schema "${schema}" up to date: applied ${applied.join(', ')}`);
    return runtime;
  } catch (error) {
    await runtime.close();
    throw error instanceof WorkflowError ? error : failedBoot(`prepare its schema "${schema}"`, settings, error);
  }
}
