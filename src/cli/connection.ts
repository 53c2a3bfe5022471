import { performance } from 'node:perf_hooks';

import { WorkflowClient } from '../client/client.js';
import type { ClientDependencies } from '../client/dependencies.js';
import { DatabaseGauges } from '../client/queries/database-gauges.js';
import { MetricsReader } from '../client/queries/metrics-reader.js';
import { ResultHub } from '../client/result-hub.js';
import { StreamHub } from '../client/streams/stream-hub.js';
import { DatabaseClock } from '../core/clock.js';
import { ClosedError } from '../core/errors/index.js';
import { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { HookSchemas } from '../core/hook-schemas.js';
import { describeError } from '../host/connection-checks.js';
import { readDatabaseUrl } from '../host/database-url.js';
import { forCallers } from '../store/caller-database.js';
import type { ConnectionSettings } from '../store/connection-settings.js';
import { Database } from '../store/database.js';
import { isAway } from '../store/database-errors.js';
import { Journal } from '../store/journal.js';
import { RunNotifier } from '../store/run-notifier.js';
import { checkSchemaName } from '../store/schema.js';
import { readClock } from '../store/sql/connection-probes.js';
import { CommandError, usageError, withoutPasswords } from './errors.js';
import { EXIT } from './exit-codes.js';
import { PoolNotices } from './notices.js';
import { ReadablePayloads } from '../core/readable-payloads.js';

/** Connections in the pool of a command, which executes few statements at a time. */
const POOL_SIZE = 3;

/** Database of the user, and a client of the package on it. A command needs no worker. */
export class Connection {
  readonly clock = new DatabaseClock();
  readonly payloads = new ReadablePayloads();
  readonly client: WorkflowClient;
  /** Database that rejects with the errors of the package. */
  readonly database: Database;
  private readonly notices: PoolNotices;
  private readonly closing: (() => void)[];

  private constructor(
    private readonly own: Database,
    readonly settings: ConnectionSettings,
    log: (line: string) => void,
  ) {
    const { clock, payloads } = this;
    const ignore = (): void => undefined;
    const now = (): number => clock.now();
    const notices = (this.notices = new PoolNotices(own));
    const journal = new Journal(own, clock, { fenced: ignore, moved: async () => undefined, trouble: ignore });
    const notifier = new RunNotifier(own, notices, ignore);
    const { admissions } = notices;
    const hub = new ResultHub(own, {
      payloads,
      pollIntervalMs: 100,
      maxPollIntervalMs: 1_000,
      receivesNotices: () => false,
      failed: ignore,
      now,
    });
    const streams = new StreamHub(own, { replica: undefined, receivesNotices: () => false, messagesOf: noEvents, failed: ignore });
    this.closing = [
      () => notifier.close(),
      () => admissions.close(),
      () => journal.close(),
      () => hub.close(new ClosedError()),
      () => streams.close(new ClosedError()),
    ];
    this.database = forCallers(own);
    const metrics = new DurableMetrics();
    this.client = new WorkflowClient({
      database: this.database,
      transaction: ormTransaction(settings, own.schemaName),
      workflowClass: () => undefined,
      scheduled: (at) => notices.scheduled(at),
      replica: undefined,
      metrics,
      metricsReader: new MetricsReader(metrics, () => [], new DatabaseGauges(this.database, () => undefined, now), undefined),
      journal,
      hub,
      streams,
      payloads,
      deploymentId: 'nestjs-durable-cli',
      module: undefined,
      runTimeoutMs: null,
      hookSchemas: new HookSchemas(),
      currentTransaction: undefined,
      reserve: () => undefined,
      notifier,
      admit: (queue) => admissions.request(queue),
      due: (runs) => notices.due(runs),
      messaged: (runIds) => notices.messaged(runIds),
      endedElsewhere: (runs) => notices.endedElsewhere(runs),
      placeFreed: (queue, key) => notices.placeFreed(queue, key),
      deadLetters: undefined,
      emitted: () => notices.emitted(),
      direct: () => undefined,
      worker: () => ({ health: { state: 'stopped', runs: 0, slots: 0, freeSlots: 0, unwritable: [] }, keys: undefined }),
      now,
      // A command executes no retention, so it has no rules.
      retention: { general: {}, workflows: [] },
      log: (message) => log(message),
    });
  }

  /**
   * Connects to the database. The statements have the form for a pooler such as PgBouncer, which
   * also works without one. So the user need not know what is in front of the server.
   *
   * @param log called with lines that an application would write to its log
   * @throws CommandError when no database is named, the URL is invalid, or the database cannot be
   *   reached
   */
  static async open(url: string | undefined, schema: string, log: (line: string) => void): Promise<Connection> {
    const settings = settingsOf(url);
    const own = new Database(settings, { schema, poolSize: POOL_SIZE, pooler: 'transaction' });
    const connection = new Connection(own, settings, log);
    try {
      const askedAt = performance.now();
      connection.clock.sync(await readClock(own), askedAt);
      return connection;
    } catch (error) {
      await connection.close();
      throw unreachable(error);
    }
  }

  /** Sends what has not been sent yet, and closes every connection. */
  async close(): Promise<void> {
    await this.notices.sent();
    for (const close of this.closing) close();
    await this.own.close();
  }
}

/**
 * Reads the settings of the database.
 *
 * @throws CommandError when no database is named
 * @throws InvalidInputError when the URL cannot be read
 */
function settingsOf(url: string | undefined): ConnectionSettings {
  if (url === undefined || url === '') throw usageError('no database is named: set DATABASE_URL, or give --database-url');
  return readDatabaseUrl(url, 'the URL of the database');
}

/**
 * Checks the name of the schema.
 *
 * @throws InvalidInputError when PostgreSQL cannot use the name
 */
export function schemaOf(name: string): string {
  return checkSchemaName(name, '--schema');
}

/** Creates the error for a database that could not be reached. */
export function unreachable(error: unknown): CommandError {
  const reason = withoutPasswords(describeError(error));
  if (isAway(error))
    return new CommandError('DATABASE_UNAVAILABLE', `the database cannot be reached: ${reason}`, EXIT.unavailable, { cause: error });
  return new CommandError('CONFIGURATION', `the database refuses the connection: ${reason}`, EXIT.failed, { cause: error });
}

/** Returns a function that executes a transaction of TypeORM, which few commands need and load. */
function ormTransaction(settings: ConnectionSettings, schema: string): ClientDependencies['transaction'] {
  return async (work) => {
    const { createOrm } = await import('../store/orm.js');
    const orm = await createOrm(settings, schema, 'transaction').initialize();
    try {
      return await orm.transaction('READ COMMITTED', work);
    } finally {
      await orm.destroy();
    }
  };
}

/** Refuses server-sent events, which no command sends. */
function noEvents(): never {
  throw new Error('the command line sends no server-sent events');
}
