import type { DataSource } from 'typeorm';

import { WorkflowClient } from '../client/client.js';
import { DatabaseGauges } from '../client/queries/database-gauges.js';
import { MetricsReader } from '../client/queries/metrics-reader.js';
import { HookIntake } from '../client/hook-intake.js';
import type { ResultHub } from '../client/result-hub.js';
import type { StreamHub } from '../client/streams/stream-hub.js';
import type { ClientRunStarter } from '../client/run-starter.js';
import { DatabaseClock } from '../core/clock.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { HookSchemas } from '../core/hook-schemas.js';
import type { LogFields } from '../core/log-fields.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { DueRun } from '../core/run.js';
import type { EndedElsewhere } from '../core/run-notices.js';
import { Payloads } from '../core/payloads.js';
import { ClosedError } from '../core/errors/index.js';
import { within } from '../core/async.js';
import { forCallers } from '../store/caller-database.js';
import { isOutage } from '../store/database-errors.js';
import type { Database } from '../store/database.js';
import { sharePool } from '../store/shared-pools.js';
import type { ReadReplica } from '../store/read-replica.js';
import { DirectConnection } from '../store/direct-connection.js';
import { EventMeetings } from '../store/event-meetings.js';
import { Journal } from '../store/journal.js';
import { DEFAULT_JOURNAL_LIMITS } from '../store/journal-batch.js';
import { RunNotifier } from '../store/run-notifier.js';
import { Admissions } from '../store/admissions.js';
import type { Notice } from '../store/notifications.js';
import type { ApplicationTransactions } from './transactions/step-transactions.js';
import type { ResolvedConnection } from './connection.js';
import { Deployment } from './deployment.js';
import { createReadReplica } from './read-replica.js';
import { createClientDependencies } from './client-dependencies.js';
import { FailureLog } from './failure-log.js';
import { createResultHub } from './create-result-hub.js';
import { createRunStarter } from './create-run-starter.js';
import { createMeetings } from './event-host.js';
import { createStreamHub } from './create-stream-hub.js';
import { directEvents, directUrl } from './direct-events.js';
import type { ModuleSettings } from './settings.js';
import type { HostLogger } from './host-logger.js';
import { HostRetention } from './host-retention.js';
import { hookUrl, type HttpEndpoints } from './http-endpoints.js';
import { processGauges } from './process-gauges.js';
import { OutageLog } from './outage-log.js';
import { runtimeScope } from './runtime-scope.js';
import type { PushHost } from './push-host.js';
import type { QStashTransport } from '../transports/qstash/transport.js';
import { UnregisteredWatch } from './unregistered-watch.js';
import { WarningLimiter } from './warning-limiter.js';
import { WorkerHosts, type WorkerHostsDependencies } from './worker-hosts.js';

/** Milliseconds that a closing process may spend on its last writes after the worker's stop. */
const LAST_WRITES_MS = 1_000;

/** Milliseconds that a connection may take to close. */
const DISCONNECT_MS = 1_000;

/** Parts of a runtime that the Nest module provides. */
export interface RuntimeParts {
  /** The module's name; undefined for the module without a name. */
  readonly name: string | undefined;
  readonly http: HttpEndpoints;
  readonly logger: HostLogger;
}

/**
 * Connections, client and workers of one WorkflowModule, which exist until the application is
 * closed.
 */
export class WorkflowRuntime implements WorkerHostsDependencies {
  readonly logger: HostLogger;
  readonly failures: FailureLog;
  readonly clock = runtimeScope.getStore()?.clock ?? new DatabaseClock();
  readonly engine = runtimeScope.getStore()?.engine;
  readonly client: WorkflowClient;
  readonly payloads: Payloads;
  readonly journal: Journal;
  readonly notifier: RunNotifier;
  readonly admissions: Admissions;
  readonly meetings: EventMeetings;
  readonly hub: ResultHub;
  readonly streams: StreamHub;
  readonly starts: ClientRunStarter;
  readonly hookSchemas = new HookSchemas();
  readonly hookIntake: HookIntake;
  readonly metricsReader: MetricsReader;
  /** Stops the export of metrics to OpenTelemetry. Undefined while nothing is exported. */
  stopExport: (() => void) | undefined;
  /** The module's name; undefined for the module without a name. */
  readonly name: string | undefined;
  readonly http: HttpEndpoints;
  readonly direct: DirectConnection | undefined;
  readonly replica: ReadReplica | undefined;
  readonly watch: UnregisteredWatch;
  readonly deployment: Deployment;
  readonly retention: HostRetention;
  /** Newest class of each workflow of this process, by name. */
  readonly workflowClasses = new Map<string, Function>();
  /** The module's workers in this process. */
  readonly workers: WorkerHosts;
  private closing: Promise<void> | undefined;
  private readonly warnings = new WarningLimiter((line, level, fields, ...cause) => this.logger.line(level, line, fields, ...cause));
  private readonly outages = new OutageLog((...line) => this.logger.line(...line));

  constructor(
    { name, http, logger }: RuntimeParts,
    readonly settings: ModuleSettings,
    readonly database: Database,
    readonly orm: DataSource,
    private readonly connection: ResolvedConnection,
    readonly metrics: DurableMetrics,
    readonly qstash: QStashTransport | undefined,
    readonly transactions: ApplicationTransactions,
  ) {
    this.name = name;
    this.retention = new HostRetention(settings.retention);
    this.http = http;
    this.logger = logger;
    const shown = settings.logFailures ? (settings.codec ? 'codes' : 'messages') : 'nothing';
    this.workers = new WorkerHosts(this, connection.patienceMs);
    this.failures = new FailureLog((...line) => this.logger.line(...line), shown);
    this.journal = new Journal(
      database,
      this.clock,
      {
        fenced: (sessionId) => void Promise.all([this.workers.polling?.fenced(sessionId), this.workers.push?.fenced(sessionId)]),
        moved: async () => void (await Promise.all([this.workers.polling?.moved(), this.workers.push?.moved()])),
        flushed: (outcome, ms, entries) => metrics.flushed(outcome, ms, entries),
        trouble: (error, fields) => this.warn('journal-blocked', 'journal: the database does not take writes; trying again', error, fields),
      },
      DEFAULT_JOURNAL_LIMITS,
    );
    this.notifier = new RunNotifier(database, this, (error) =>
      this.warn('notify-failed', 'notifier: could not notify runs of messages yet', error),
    );
    this.admissions = new Admissions(database, this.clock, {
      due: (runs) => this.due(runs),
      failed: (error) => this.warn('admission-failed', 'queues: could not admit runs that wait for a place; trying again', error),
      // A process that QStash calls may be frozen when the rate limit opens.
      opensAt: (at) => settings.transport === 'qstash' && qstash?.queueOpens(at, this.clock.now()),
    });
    database.unwritable.report = (runId, error) =>
      this.warn('run-unwritable', `database: the server refuses to change run "${runId}"; other runs continue without it`, error, {
        runId,
      });
    this.payloads = new Payloads(settings.maxPayloadBytes, settings.codec);
    this.meetings = createMeetings(this);
    this.hub = createResultHub(this);
    const events = directEvents(this, () => this.workers.polling);
    this.direct = settings.listen === false ? undefined : new DirectConnection(database, events, directUrl(settings.listen));
    this.replica = createReadReplica(this);
    this.streams = createStreamHub(this, this.replica);
    this.deployment = new Deployment(settings.deploymentId);
    this.starts = createRunStarter(this);
    const now = (): number => this.clock.now();
    const gauges = new DatabaseGauges(forCallers(database), () => this.workers.known.keys, now);
    this.metricsReader = new MetricsReader(metrics, () => processGauges(this), gauges, name);
    const dependencies = createClientDependencies(this);
    this.watch = new UnregisteredWatch(database, {
      worker: () => dependencies.worker(),
      now,
      warn: (code, message, error, fields) => this.warn(code, message, error, fields),
    });
    this.client = new WorkflowClient(dependencies);
    sharePool(this.client, database);
    this.hookIntake = new HookIntake(dependencies);
  }

  /**
   * Opens the direct connection, which keeps the process alive. Called only after the whole
   * application has been created: Nest does not announce that the creation has failed. Pools may be
   * opened earlier, because they close idle connections by themselves.
   */
  async listen(): Promise<void> {
    if (!this.closing) await this.direct?.start();
  }

  /** Writes everything that has not been written yet, and closes every connection. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  /**
   * Logs a warning. Repeated warnings are logged at intervals, even if each is about another run.
   * During an outage of the database all failures are logged as one warning.
   */
  warn(code: WarningCode, message: string, error?: unknown, fields?: LogFields): void {
    if (isOutage(error)) return this.outages.failed(message, error);
    this.warnings.warn(message, error, error === undefined ? 'once a minute' : 'every 5 s', { ...fields, code });
  }

  /** Logs an error about a run, with its stack. Errors of one kind are logged at intervals. */
  error(code: WarningCode, message: string, error: unknown, fields?: LogFields): void {
    this.warnings.error(message, error, { ...fields, code });
  }

  /** Warns about a problem that a request has caused. */
  warnOfRequest(code: WarningCode, message: string, error?: unknown): void {
    this.warnings.warn(message, error, 'once a minute', { code });
  }

  async due(runs: readonly DueRun[]): Promise<void> {
    const now: DueRun[] = [];
    let wakeAt = Number.POSITIVE_INFINITY;
    let admitted: Promise<void> | undefined;
    for (const run of runs) {
      // A run of a queue with limits is not due before its queue admits the run.
      if (run.wakeAt === undefined && !run.isAdmitted && this.database.queues.isLimited(run.queue))
        admitted = this.admissions.request(run.queue, run.queueKey);
      else if (run.wakeAt === undefined) now.push(run);
      else wakeAt = Math.min(wakeAt, run.wakeAt);
    }
    if (now.length > 0) this.workers.polling?.pollNow();
    // Processes that QStash calls have no permanent session, so the watch cannot see them.
    this.watch.note(this.qstash ? undefined : now);
    if (Number.isFinite(wakeAt)) this.workers.polling?.noteWake(wakeAt);
    this.direct?.notify({ ...(now.length > 0 ? { due: now } : {}), ...(Number.isFinite(wakeAt) ? { wakeAt } : {}) });
    await this.qstash?.due(runs.filter((run) => run.wakeAt !== undefined || now.includes(run)));
    if (admitted && this.settings.transport === 'qstash') await this.admissions.settledSoon();
  }

  /** Announces the next time at which a schedule needs attention. */
  scheduled(at: number): void {
    this.workers.polling?.noteWake(at);
    this.direct?.notify({ wakeAt: at });
    if (this.settings.transport === 'qstash') this.qstash?.scheduled(at, this.clock.now());
  }

  returned(runIds: readonly string[]): void {
    void this.qstash?.publisher.announce(runIds.map((id) => ({ id })));
  }

  notify(notice: Notice): void {
    this.direct?.notify(notice);
  }

  messaged(runIds: readonly string[]): void {
    this.workers.polling?.messaged(runIds);
    this.workers.push?.messaged(runIds);
    this.direct?.notify({ messages: runIds });
  }

  endedElsewhere(runs: readonly EndedElsewhere[]): void {
    if (runs.length === 0) return;
    for (const { name, status } of runs) this.metrics.runEnded(name, status);
    const runIds = runs.map(({ id }) => id);
    this.hub.noticed(runIds);
    this.streams.noticed(runIds);
    this.direct?.notify({ ended: runIds, events: true });
  }

  placeFreed(queue: string, key: string): void {
    this.admissions.placeFreed(queue, key);
  }

  eventsEmitted(by: 'this process' | 'elsewhere'): void {
    this.workers.dispatchEvents();
    if (by === 'this process') this.direct?.notify({ emitted: true });
  }

  eventExpected(): void {
    this.workers.dispatcher?.expect();
  }

  /** Host that executes the runs that QStash delivers; undefined without QStash. */
  get push(): PushHost | undefined {
    return this.workers.push;
  }

  hookUrl(token: string): string {
    return hookUrl(this.http, token);
  }

  /** Closes everything, even if one part fails to close. */
  private async closeAll(): Promise<void> {
    this.stopExport?.();
    const watched = this.watch.stop();
    const failed = (error: unknown): void => this.warn('close-failed', 'module: could not close one of its parts', error);
    await this.workers.stop().catch(failed);
    await this.journal.drain(LAST_WRITES_MS);
    await this.qstash?.close().catch(failed);
    await within(LAST_WRITES_MS, watched);
    this.admissions.close();
    this.meetings.close();
    this.notifier.close();
    this.journal.close();
    this.hub.close(new ClosedError());
    this.streams.close(new ClosedError());
    this.outages.end();
    const connections = [this.direct?.stop(), this.replica?.close(), this.database.close(), this.orm.isInitialized && this.orm.destroy()];
    await Promise.all(connections.map(async (closed) => closed && within(DISCONNECT_MS, closed).catch(failed)));
    await this.connection.embedded?.stop().catch(failed);
    this.warnings.close();
  }
}
