import { setTimeout as sleep } from 'node:timers/promises';

import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';

import { WorkflowClient } from '../client/client.js';
import { ResultHub } from '../client/result-hub.js';
import { DatabaseClock } from '../core/clock.js';
import { ClosedError, WorkflowConfigurationError, WorkflowError } from '../core/errors/index.js';
import { within } from '../core/within.js';
import type { EmbeddedPostgres } from '../embedded/index.js';
import { Database } from '../store/database.js';
import { DirectConnection } from '../store/direct-connection.js';
import { Journal } from '../store/journal.js';
import { DEFAULT_JOURNAL_LIMITS } from '../store/journal-batch.js';
import type { Notice } from '../store/notifications.js';
import { createOrm, prepareSchema } from '../store/orm.js';
import { resolveConnection } from './connection.js';
import { deriveDeploymentId, type ModuleSettings } from './options.js';
import { entryOf } from './entry.js';
import type { HostSurroundings } from './host-surroundings.js';
import { WorkerHost } from './worker-host.js';
import type { FoundWorkflow } from './scanner.js';

/** How long the last writes of a closing process may take, after those of its worker. */
const LAST_WRITES_MS = 1_000;

/** How long a connection may take to close. */
const DISCONNECT_MS = 1_000;
const WARN_AGAIN_MS = 5_000;
const START_AGAIN_MS = 1_000;

/** Everything of one WorkflowModule that lives as long as the application does, put together. */
export class WorkflowRuntime implements HostSurroundings {
  readonly logger = new Logger('WorkflowModule');
  readonly clock = new DatabaseClock();
  readonly client: WorkflowClient;
  readonly journal: Journal;
  readonly hub: ResultHub;
  readonly direct: DirectConnection | undefined;
  private host: WorkerHost | undefined;
  private stopped = false;
  private closing: Promise<void> | undefined;
  private readonly warnedAt = new Map<string, number>();

  private constructor(
    readonly settings: ModuleSettings,
    readonly database: Database,
    readonly orm: DataSource,
    private readonly embedded: EmbeddedPostgres | undefined,
  ) {
    this.journal = new Journal(
      database,
      this.clock,
      {
        fenced: (sessionId) => void this.host?.fenced(sessionId),
        moved: async () => this.host?.moved(),
        trouble: (error) => this.warn('the database does not take writes; trying again', error),
      },
      DEFAULT_JOURNAL_LIMITS,
    );
    this.hub = new ResultHub(database, {
      pollIntervalMs: 100,
      maxPollIntervalMs: 1_000,
      hearsNotices: () => this.direct?.isConnected ?? false,
      failed: (error) => this.warn('results could not be asked for', error),
    });
    this.direct = settings.listen === false ? undefined : new DirectConnection(database, this.directEvents(), directUrl(settings));
    this.client = new WorkflowClient({
      database,
      journal: this.journal,
      hub: this.hub,
      maxPayloadBytes: settings.maxPayloadBytes,
      deploymentId: settings.deploymentId ?? deriveDeploymentId([], entryOf(process.argv[1])),
      reserve: (key) => this.host?.reserve(key),
      due: (keys, wakeAt) => this.announce(keys.length === 0 ? {} : { due: keys }, wakeAt),
      messaged: (runId) => {
        this.host?.messaged([runId]);
        this.direct?.notify({ messages: [runId] });
      },
      endedUnstarted: (runId) => {
        this.hub.noticed([runId]);
        this.direct?.notify({ ended: [runId] });
      },
      now: () => this.clock.now(),
    });
  }

  /**
   * Connects and brings the schema up to date.
   *
   * @throws WorkflowConfigurationError, SchemaMismatchError, and what the database says
   */
  static async create(settings: ModuleSettings, dataSource: DataSource | undefined): Promise<WorkflowRuntime> {
    const connection = await resolveConnection(settings, dataSource, process.env);
    const orm = createOrm(connection.settings, settings.schema);
    try {
      await orm.initialize();
      const applied = await prepareSchema(orm, settings.schema, settings.autoMigrate ? 'migrate' : 'check');
      const database = new Database(connection.settings, { schema: settings.schema, poolSize: connection.poolSize });
      const runtime = new WorkflowRuntime(settings, database, orm, connection.embedded);
      if (applied.length > 0) runtime.logger.log(`schema "${settings.schema}" is up to date: applied ${applied.join(', ')}`);
      await runtime.direct?.start();
      return runtime;
    } catch (error) {
      if (orm.isInitialized) await orm.destroy();
      await connection.embedded?.stop();
      throw error instanceof WorkflowError ? error : unprepared(settings.schema, error);
    }
  }

  /** Executes runs of these workflows from now on. */
  async startWorker(workflows: readonly FoundWorkflow[]): Promise<void> {
    if (this.closing) return;
    const deploymentId =
      this.settings.deploymentId ??
      deriveDeploymentId(
        workflows.map(({ source }) => source),
        entryOf(process.argv[1]),
      );
    this.host ??= new WorkerHost(this, workflows, deploymentId);
    await this.host.start();
    const names = workflows.map(({ definition }) => `${definition.name} v${definition.version}`).join(', ');
    this.logger.log(`executing ${names}; deployment ${deploymentId}, up to ${this.settings.worker.concurrency} runs at a time`);
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
    await this.host?.stop();
  }

  /** Writes what is left to write and closes every connection. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  /** The same trouble again and again is told once in a while. */
  warn(message: string, error?: unknown): void {
    const now = performance.now();
    if (error !== undefined && now - (this.warnedAt.get(message) ?? Number.NEGATIVE_INFINITY) < WARN_AGAIN_MS) return;
    this.warnedAt.set(message, now);
    this.logger.warn(error === undefined ? message : `${message}: ${describeError(error)}`);
  }

  announce(notice: Notice, wakeAt: number | undefined): void {
    if (notice.due && notice.due.length > 0) this.host?.poke();
    if (wakeAt !== undefined) this.host?.noteWake(wakeAt);
    this.direct?.notify(wakeAt === undefined ? notice : { ...notice, wakeAt });
  }

  /** Whatever fails, the rest is closed all the same. */
  private async closeAll(): Promise<void> {
    const failed = (error: unknown): void => this.warn('while closing', error);
    await this.stopWorker().catch(failed);
    await this.journal.drain(LAST_WRITES_MS);
    this.journal.close();
    this.hub.close(new ClosedError());
    const connections = [this.direct?.stop(), this.database.close(), this.orm.isInitialized && this.orm.destroy()];
    await Promise.all(connections.map(async (closed) => closed && within(DISCONNECT_MS, closed).catch(failed)));
    await this.embedded?.stop().catch(failed);
  }

  private directEvents(): ConstructorParameters<typeof DirectConnection>[1] {
    return {
      noticed: (notice) => {
        if (notice.ended) this.hub.noticed(notice.ended);
        this.host?.noticed(notice);
      },
      lost: () => this.host?.directLost(),
      connected: () => {
        this.hub.refresh();
        this.host?.directConnected();
      },
    };
  }
}

function directUrl(settings: ModuleSettings): string | undefined {
  return typeof settings.listen === 'object' ? settings.listen.url : undefined;
}

/** Whose trouble it is, and what may help. */
function unprepared(schema: string, cause: unknown): WorkflowConfigurationError {
  const hint =
    (cause as { code?: unknown } | undefined)?.code === '42501'
      ? '. Grant the role what it needs to create the schema, or run the SQL of migrationSql() yourself and set autoMigrate: false'
      : '';
  return new WorkflowConfigurationError(`WorkflowModule could not prepare its schema "${schema}": ${describeError(cause)}${hint}`, {
    cause,
  });
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : typeof error;
  // Node's connection errors to a name with several addresses carry their message inside.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describeError).join('; ');
  return error.message;
}
