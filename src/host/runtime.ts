import { performance } from 'node:perf_hooks';

import type { DataSource } from 'typeorm';

import { sleep } from '../core/timers.js';
import { WorkflowClient } from '../client/client.js';
import { HookIntake } from '../client/hook-intake.js';
import { ResultHub } from '../client/result-hub.js';
import { ClientRunStarter } from '../client/run-starter.js';
import type { ClientDependencies } from '../client/dependencies.js';
import { DatabaseClock } from '../core/clock.js';
import { HookSchemas } from '../core/hook-schemas.js';
import type { LogFields } from '../core/log-fields.js';
import type { DueRun } from '../core/run.js';
import { Payloads } from '../core/payloads.js';
import { ClosedError, WorkflowError } from '../core/errors/index.js';
import { within } from '../core/async.js';
import { forCallers } from '../store/caller-database.js';
import { isOutage } from '../store/database-errors.js';
import { Database } from '../store/database.js';
import { DirectConnection } from '../store/direct-connection.js';
import { Journal } from '../store/journal.js';
import { DEFAULT_JOURNAL_LIMITS } from '../store/journal-batch.js';
import { RunNotifier } from '../store/run-notifier.js';
import type { Notice } from '../store/notifications.js';
import { createOrm, prepareSchema } from '../store/orm.js';
import { isInRecovery, readClock } from '../store/sql/connection-probes.js';
import { whileServerAnswers, type OpenClients } from '../store/server-watch.js';
import { explainReadOnly } from '../store/standby.js';

import { whileAway } from './boot-retry.js';
import { checkPool, failedBoot } from './connection-checks.js';
import { executingLine, UNKNOWN_BUILD } from './boot-lines.js';
import { resolveConnection, type ResolvedConnection } from './connection.js';
import { Deployment } from './deployment.js';
import { FailureLog } from './failure-log.js';
import { directEvents } from './direct-events.js';
import type { ModuleSettings } from './settings.js';
import { findForeignHome, foreignHomeLine, whenHome } from './home-check.js';
import type { HostDependencies } from './host-dependencies.js';
import type { HostLogger } from './host-logger.js';
import { hookUrl, type HttpEndpoints } from './http-endpoints.js';
import { OutageLog } from './outage-log.js';
import { PushHost } from './push-host.js';
import { QStashTransport } from '../transports/qstash/transport.js';
import { UnregisteredWatch } from './unregistered-watch.js';
import { describeUnregistered } from './unregistered-runs.js';
import { unservedResults } from './unserved-results.js';
import { WarningLimiter } from './warning-limiter.js';
import { PollingHost } from './polling-host.js';
import type { FoundWorkflow } from './found-workflow.js';

/** How long the last writes of a closing process may take, after those of its worker. */
const LAST_WRITES_MS = 1_000;

/** How long a connection may take to close. */
const DISCONNECT_MS = 1_000;
const START_AGAIN_MS = 1_000;

/** The parts of a runtime that its module decides. */
export interface RuntimeParts {
  /** The module's name; undefined for the module without a name. */
  readonly name: string | undefined;
  readonly http: HttpEndpoints;
  readonly logger: HostLogger;
}
const NO_WORKER = { state: 'stopped', runs: 0, slots: 0, freeSlots: 0, unwritable: [] } as const;

/** Everything of one WorkflowModule that lives as long as the application does, put together. */
export class WorkflowRuntime implements HostDependencies {
  readonly logger: HostLogger;
  readonly failures: FailureLog;
  readonly clock = new DatabaseClock();
  readonly client: WorkflowClient;
  readonly payloads: Payloads;
  readonly journal: Journal;
  readonly notifier: RunNotifier;
  readonly hub: ResultHub;
  readonly starts: ClientRunStarter;
  readonly hookSchemas = new HookSchemas();
  readonly hookIntake: HookIntake;
  /** The module's name; undefined for the one without. */
  readonly name: string | undefined;
  readonly http: HttpEndpoints;
  readonly direct: DirectConnection | undefined;
  private readonly watch: UnregisteredWatch;
  private readonly deployment: Deployment;
  private host: PollingHost | undefined;
  /** The reason why this process executes nothing, as far as the boot has come. */
  idleBecause = 'the module has not been initialized (module.init(), or app.listen())';
  /** Where runs are executed when QStash says so. */
  push: PushHost | undefined;
  private stopped = false;
  private closing: Promise<void> | undefined;
  private readonly warnings = new WarningLimiter((line, fields) => this.logger.line('warn', line, fields));

  private readonly outages = new OutageLog((level, line) => this.logger.line(level, line));

  private constructor(
    { name, http, logger }: RuntimeParts,
    readonly settings: ModuleSettings,
    readonly database: Database,
    readonly orm: DataSource,
    private readonly connection: ResolvedConnection,
    readonly qstash: QStashTransport | undefined,
  ) {
    this.name = name;
    this.http = http;
    this.logger = logger;
    const shown = settings.logFailures ? (settings.codec ? 'codes' : 'messages') : 'nothing';
    this.failures = new FailureLog((level, message, fields) => this.logger.line(level, message, fields), shown);
    this.journal = new Journal(
      database,
      this.clock,
      {
        fenced: (sessionId) => void Promise.all([this.host?.fenced(sessionId), this.push?.fenced(sessionId)]),
        moved: async () => void (await Promise.all([this.host?.moved(), this.push?.moved()])),
        trouble: (error) => this.warn('the database does not take writes; trying again', error),
      },
      DEFAULT_JOURNAL_LIMITS,
    );
    this.notifier = new RunNotifier(database, this, (error) => this.warn('runs could not be notified of messages yet', error));
    database.unwritable.report = (runId, error) =>
      this.warn(`the database refuses to change run "${runId}"; other runs continue without it`, error, { runId });
    this.payloads = new Payloads(settings.maxPayloadBytes, settings.codec);
    this.hub = new ResultHub(database, {
      payloads: this.payloads,
      pollIntervalMs: 100,
      maxPollIntervalMs: 1_000,
      receivesNotices: () => this.direct?.isConnected ?? false,
      failed: (error) => this.warn('results could not be asked for', error),
      now: () => this.clock.now(),
      findUnserved: unservedResults(
        database,
        { settings, now: () => this.clock.now(), idleBecause: () => (this.host?.known.keys ? undefined : this.idleBecause) },
        process.env,
      ),
    });
    const events = directEvents(this, () => this.host);
    this.direct = settings.listen === false ? undefined : new DirectConnection(database, events, directUrl(settings));
    const deployment = (this.deployment = new Deployment(settings.deploymentId));
    const { runTimeoutMs } = settings;
    const now = (): number => this.clock.now();
    this.starts = new ClientRunStarter(this.payloads, {
      get deploymentId() {
        return deployment.id;
      },
      module: name,
      runTimeoutMs,
      now,
    });
    const dependencies: ClientDependencies = {
      database: forCallers(database),
      journal: this.journal,
      hub: this.hub,
      payloads: this.payloads,
      get deploymentId() {
        return deployment.id;
      },
      module: name,
      runTimeoutMs,
      hookSchemas: this.hookSchemas,
      currentTransaction: settings.currentTransaction,
      reserve: (key) => this.host?.reserve(key),
      notifier: this.notifier,
      due: (runs) => this.due(runs),
      messaged: (runIds) => this.messaged(runIds),
      endedElsewhere: (runIds) => this.endedElsewhere(runIds),
      deadLetters: qstash?.api,
      direct: () => this.direct,
      worker: () => this.host?.known ?? this.push?.known ?? { health: NO_WORKER, keys: undefined },
      now,
    };
    this.watch = new UnregisteredWatch(database, {
      worker: () => dependencies.worker(),
      now,
      warn: (message, error) => this.warn(message, error),
    });
    this.client = new WorkflowClient(dependencies);
    this.hookIntake = new HookIntake(dependencies);
  }

  /**
   * Connects and brings the schema up to date. Waits a while for a database that is away.
   *
   * @throws WorkflowConfigurationError, SchemaMismatchError, DatabaseUnavailableError
   */
  static async create(parts: RuntimeParts, settings: ModuleSettings, dataSource: DataSource | undefined): Promise<WorkflowRuntime> {
    const connection = await resolveConnection(settings, dataSource, process.env);
    const { schema, pooler } = settings;
    const openClients: OpenClients = new Set();
    const orm = createOrm(connection.settings, schema, pooler, openClients);
    const database = new Database(connection.settings, { schema, poolSize: connection.poolSize, pooler });
    const warn = (message: string, error?: unknown): void => runtime.warn(message, error);
    const qstash = settings.qstash && (await QStashTransport.create(settings.qstash, database, warn));
    const runtime: WorkflowRuntime = new WorkflowRuntime(parts, settings, database, orm, connection, qstash);
    const prepare = async (): Promise<string[]> => {
      if (!orm.isInitialized) await orm.initialize();
      const migrated = await prepareSchema(orm, settings.schema, settings.autoMigrate ? 'migrate' : 'check');
      await checkPool(database, settings);
      const askedAt = performance.now();
      runtime.clock.sync(await readClock(database), askedAt);
      return migrated;
    };
    try {
      const watched = (): Promise<string[]> => whileServerAnswers(() => readClock(database), openClients, prepare);
      const applied = await whileAway(watched, connection.patienceMs, (message) => runtime.logger.warn(message));
      if (applied.length > 0) runtime.logger.log(`schema "${settings.schema}" is up to date: applied ${applied.join(', ')}`);
      return runtime;
    } catch (error) {
      await runtime.close();
      throw error instanceof WorkflowError ? error : failedBoot(`prepare its schema "${settings.schema}"`, settings, error);
    }
  }

  /**
   * Opens what keeps the process alive. Not before all of the application has been made: Nest tells nobody when that fails, and what is open then stays
   * open. The pools close what is idle.
   */
  async listen(): Promise<void> {
    if (!this.closing) await this.direct?.start();
  }

  /** Executes runs of these workflows from now on. */
  async startWorker(workflows: readonly FoundWorkflow[]): Promise<void> {
    if (this.closing || this.stopped) return;
    const look = (): Promise<string | undefined> => findForeignHome(this.database, this.settings.environment);
    const foreign = await look();
    if (foreign !== undefined) return void this.startWorkerAtHome(workflows, foreign, look);
    this.deployment.foundWorkflows(workflows.map(({ source }) => source));
    const deploymentId = this.deployment.id;
    if (this.settings.transport !== 'qstash') {
      this.host ??= new PollingHost(this, workflows, deploymentId);
      await this.host.start();
    }
    if (this.qstash && this.settings.qstash) {
      this.push ??= new PushHost(this, workflows, deploymentId, this.qstash.publisher, this.settings.qstash, this.host);
      this.qstash.ensureSchedule();
    }
    if (!this.deployment.isKnown && process.env['NODE_ENV'] !== 'test') this.warn(UNKNOWN_BUILD);
    if (this.host) void this.warnOfUnregistered();
    this.watch.note();
    this.logger.log(executingLine(workflows, deploymentId, this.settings));
  }

  private async startWorkerAtHome(
    workflows: readonly FoundWorkflow[],
    foreign: string,
    look: () => Promise<string | undefined>,
  ): Promise<void> {
    const isStopped = (): boolean => this.stopped || this.closing !== undefined;
    const report = (reason: string): void => this.logger.error(foreignHomeLine(reason, this.database.schema));
    if (await whenHome(look, foreign, isStopped, report)) await this.startWorkerWhenPossible(workflows);
  }

  private async warnOfUnregistered(): Promise<void> {
    try {
      for (const line of await describeUnregistered(this.database, this.host?.known.keys ?? [])) this.warn(line);
    } catch (error) {
      if (!this.closing) this.warn('due runs could not be looked at', error);
    }
  }

  /**
   * Starts the worker while the application boots. Waits a while for a database that is away, as `create` does.
   *
   * @throws WorkflowConfigurationError, DatabaseUnavailableError
   */
  async startWorkerAtBoot(workflows: readonly FoundWorkflow[]): Promise<void> {
    const start = async (): Promise<void> => {
      try {
        await this.startWorker(workflows);
      } catch (error) {
        throw await explainReadOnly(error, () => isInRecovery(this.database));
      }
    };
    try {
      await whileAway(start, this.connection.patienceMs, (message) => this.logger.warn(message));
    } catch (error) {
      throw error instanceof WorkflowError ? error : failedBoot('start its worker', this.settings, error);
    }
  }

  /** The same, for a process that is in use already: trouble with the database delays it, and does not end it. */
  async startWorkerWhenPossible(workflows: readonly FoundWorkflow[]): Promise<void> {
    while (!this.closing && !this.stopped) {
      try {
        return await this.startWorker(workflows);
      } catch (error) {
        this.warn('the worker could not be started; trying again', error);
        await sleep(START_AGAIN_MS);
      }
    }
  }

  /** Stops executing runs: lets step bodies finish, hands the rest back. The client goes on. */
  async stopWorker(): Promise<void> {
    this.stopped = true;
    await Promise.all([this.host?.stop(), this.push?.stop()]);
  }

  /** Writes what is left to write and closes every connection. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  /**
   * Warns of trouble. What comes again and again is written once in a while, and so are warnings that differ only in their run. While the database is
   * away everything fails, so that is one warning for all.
   */
  warn(message: string, error?: unknown, fields?: LogFields): void {
    if (isOutage(error)) return this.outages.failed(message, error);
    this.warnings.warn(message, error, error === undefined ? 'once a minute' : 'every 5 s', fields);
  }

  /** Warns of what somebody who sends requests has caused. */
  warnOfRequest(message: string, error?: unknown): void {
    this.warnings.warn(message, error, 'once a minute');
  }

  async due(runs: readonly DueRun[]): Promise<void> {
    const now: DueRun[] = [];
    let wakeAt = Number.POSITIVE_INFINITY;
    for (const run of runs) {
      if (run.wakeAt === undefined) now.push(run);
      else wakeAt = Math.min(wakeAt, run.wakeAt);
    }
    const isLater = Number.isFinite(wakeAt);
    if (now.length > 0) this.host?.pollNow();
    // Processes that QStash drives have no session to be seen by.
    this.watch.note(this.qstash ? undefined : now);
    if (isLater) this.host?.noteWake(wakeAt);
    this.direct?.notify({ ...(now.length > 0 ? { due: now } : {}), ...(isLater ? { wakeAt } : {}) });
    await this.qstash?.due(runs);
  }

  returned(runIds: readonly string[]): void {
    void this.qstash?.publisher.announce(runIds.map((id) => ({ id })));
  }

  notify(notice: Notice): void {
    this.direct?.notify(notice);
  }

  messaged(runIds: readonly string[]): void {
    this.host?.messaged(runIds);
    this.push?.messaged(runIds);
    this.direct?.notify({ messages: runIds });
  }

  endedElsewhere(runIds: readonly string[]): void {
    if (runIds.length === 0) return;
    this.hub.noticed(runIds);
    this.direct?.notify({ ended: runIds });
  }

  hookUrl(token: string): string {
    return hookUrl(this.http, token);
  }

  /** Whatever fails, the rest is closed all the same. */
  private async closeAll(): Promise<void> {
    const watched = this.watch.stop();
    const failed = (error: unknown): void => this.warn('while closing', error);
    await this.stopWorker().catch(failed);
    await this.journal.drain(LAST_WRITES_MS);
    await this.qstash?.close().catch(failed);
    await within(LAST_WRITES_MS, watched);
    this.notifier.close();
    this.journal.close();
    this.hub.close(new ClosedError());
    const connections = [this.direct?.stop(), this.database.close(), this.orm.isInitialized && this.orm.destroy()];
    await Promise.all(connections.map(async (closed) => closed && within(DISCONNECT_MS, closed).catch(failed)));
    await this.connection.embedded?.stop().catch(failed);
    this.outages.close();
    this.warnings.close();
  }
}

function directUrl(settings: ModuleSettings): string | undefined {
  return typeof settings.listen === 'object' ? settings.listen.url : undefined;
}
