import type { KnownWorker } from '../client/queries/health.js';
import { ANY_VERSION, type DispatchKey } from '../core/run.js';
import type { Warn } from '../core/log-fields.js';
import { within } from '../core/async.js';
import type { BackgroundService } from '../maintenance/background-service.js';
import { meetUnarmed, removeExpiredEvents, type EventDispatcher } from '../maintenance/event-dispatcher.js';
import { PeriodicSweep } from '../maintenance/periodic-sweep.js';
import { createSweeps } from '../maintenance/sweeps.js';
import { ScheduleService } from '../maintenance/schedule-service.js';
import { TimerService } from '../maintenance/timer-service.js';
import type { Notice } from '../store/notifications.js';
import { Poller } from '../transports/poller/poller.js';
import type { Body } from '../worker/loop-watch.js';
import { WorkflowRegistry } from '../worker/registry.js';
import type { Session } from '../worker/session.js';
import type { StepGates } from '../worker/step-gates.js';
import type { Worker } from '../worker/worker.js';
import type { Reservation } from '../worker/worker-types.js';
import type { HostDependencies } from './host-dependencies.js';
import type { FoundWorkflow } from './found-workflow.js';
import type { HostSchedules } from './schedule-host.js';
import { workerEvents } from './worker-events.js';
import { createWorker } from './create-worker.js';
import { withSetAside } from './unwritable-health.js';

/** Milliseconds for which the stop waits for current work of the poller, timers and sweeps. */
const SERVICES_STOP_MS = 1_000;
/** Maximum number of workflow names about which this process warns. */
const MAX_WARNED = 1_000;

/** Work of a process that polls the database. */
export interface WorkerActivity {
  /** Number of active runs. */
  readonly runs: number;
  /** Step bodies that are being executed. */
  readonly bodies: readonly Body[];
  /** Active runs with a step that waits until its slot of a rate limit opens. */
  readonly runsBeforeSlots: readonly string[];
  /** Active runs with a step that waits until another step gives a place of a limit back. */
  readonly runsWithoutPlace: readonly string[];
  /** Number of claimed runs that begin when their slot of a rate limit opens. */
  readonly unopened: number;
}

/** Worker of a process that polls the database, with its session, poller, timers and sweeps. */
export class PollingHost {
  private readonly worker: Worker;
  private readonly gates: StepGates;
  private readonly bulkOperations: PeriodicSweep;
  private readonly registry: WorkflowRegistry;
  private readonly warned = new Set<string>();
  private readonly session: Session;
  private readonly poller: Poller;
  private readonly timers: TimerService;
  private readonly schedules: ScheduleService;
  private readonly services: readonly BackgroundService[];
  private running = false;
  private starting: Promise<void> | undefined;

  constructor(
    private readonly runtime: HostDependencies,
    workflows: readonly FoundWorkflow[],
    deploymentId: string,
    dispatcher: EventDispatcher,
    schedules: HostSchedules,
  ) {
    const { settings, database, clock } = runtime;
    const { worker } = settings;
    const warn: Warn = (code, message, error, fields) => runtime.warn(code, message, error, fields);
    this.registry = new WorkflowRegistry(workflows.map(({ definition }) => definition));
    const parts = createWorker(runtime, this.registry, deploymentId, 'due', workerEvents(runtime));
    this.session = parts.session;
    this.worker = parts.worker;
    runtime.admissions.claimant = this.worker.admissionClaims;
    this.gates = parts.gates;
    this.poller = new Poller(this.worker, {
      pollIntervalMs: worker.pollIntervalMs,
      maxPollIntervalMs: worker.maxPollIntervalMs,
      failed: (error) => warn('reconcile-failed', 'poller: could not compare active runs with the database', error),
    });
    this.timers = new TimerService(database, clock, {
      maxPauseMs: worker.maxPollIntervalMs,
      woke: () => this.poller.pollNow(),
      queued: (queue, key) => void runtime.admissions.request(queue, key),
      scheduled: (at) => this.schedules.note(at),
      failed: (error) => warn('timers-failed', 'timers: could not wake due runs', error),
    });
    this.schedules = new ScheduleService(schedules, clock, (error) =>
      warn('schedules-unavailable', 'schedules: could not start due runs; trying again', error),
    );
    const { deadSessions, bulkOperations, others, deletions } = createSweeps({
      database,
      payloads: runtime.payloads,
      notifier: runtime.notifier,
      admissions: runtime.admissions,
      notices: runtime,
      metrics: runtime.metrics,
      retention: runtime.retention.ifUsed,
      streamRetention: runtime.settings.streamRetention,
      deploymentId,
      sessionTtlMs: worker.sessionTtlMs,
      ownSession: () => this.session.id,
      served: () => this.worker.dispatchKeys,
      returned: async () => this.poller.pollNow(),
      eventRetentionMs: settings.eventRetentionMs,
      eventWork: async (signal) => {
        dispatcher.poke();
        await meetUnarmed(database, runtime.meetings);
        await removeExpiredEvents(database, settings.eventRetentionMs, signal);
      },
      warn,
    });
    const sweeps = [deadSessions, ...others, ...(schedules.declaring ? [schedules.declaring] : []), ...deletions];
    const periodic = new Map(sweeps.map((sweep) => [sweep, new PeriodicSweep(sweep, warn)]));
    this.bulkOperations = periodic.get(bulkOperations)!;
    this.services = [this.timers, ...periodic.values()];
  }

  /** State of the worker, for health checks. */
  get known(): KnownWorker {
    const { runs, slots, freeSlots } = this.worker.load;
    const state = !this.running ? 'stopped' : this.session.fence ? 'running' : 'fenced';
    const own = this.worker.unwritableRuns.map(({ since, ...each }) => ({ ...each, since: new Date(since) }));
    const unwritable = withSetAside(own, this.runtime.database);
    return { health: { state, runs, slots, freeSlots, unwritable }, keys: this.worker.dispatchKeys };
  }

  /** Current work of the worker, for the test kit. */
  get activity(): WorkerActivity {
    const { worker, gates } = this;
    const { runs, unopened } = worker.load;
    const { runsBeforeSlots, runsWithoutPlace } = gates;
    return { runs, unopened, bodies: [...worker.bodies], runsBeforeSlots, runsWithoutPlace };
  }

  /** True while the runs of schedules are being started. */
  get isStartingScheduled(): boolean {
    return this.schedules.isAtWork;
  }

  start(): Promise<void> {
    this.starting ??= this.worker.start().then(
      () => {
        this.running = true;
        this.poller.start();
        for (const service of this.services) service.start();
      },
      (error: unknown) => {
        this.starting = undefined;
        throw error;
      },
    );
    return this.starting;
  }

  async stop(): Promise<void> {
    // An application may be closed while it boots. A session that is being opened now must be
    // closed too.
    await this.starting?.catch(() => undefined);
    if (!this.running) return this.worker.stop();
    this.running = false;
    // The worker and the services stop in parallel: nothing new begins from here on, and the worker
    // does not need the services. A service may be stuck in a query, so their time is limited.
    const services = within(
      SERVICES_STOP_MS,
      Promise.all([this.poller, this.schedules, ...this.services].map((service) => service.stop())),
    );
    await Promise.all([services, this.worker.stop()]);
  }

  async fenced(sessionId: string): Promise<void> {
    await this.worker.fenced(sessionId);
  }

  /**
   * Checks, after another database server has taken over, that this process still owns its runs.
   * Resolves after the check.
   */
  async moved(): Promise<void> {
    await this.worker.serverMoved();
  }

  reserve(key: DispatchKey): Reservation | undefined {
    this.warnOfUnregistered(key);
    return this.worker.reserve(key);
  }

  /**
   * Warns once about a workflow that this process does not have. Its class is probably missing
   * among the providers, but another process may have the class.
   */
  private warnOfUnregistered({ name, version }: DispatchKey): void {
    const isKnown =
      version === ANY_VERSION ? this.worker.dispatchKeys.some((key) => key.name === name) : this.registry.find(name, version) !== undefined;
    if (isKnown || this.warned.has(name) || this.warned.size >= MAX_WARNED) return;
    this.warned.add(name);
    const workflow = `"${name}"${version === ANY_VERSION ? '' : ` version ${version}`}`;
    this.runtime.warn(
      'unregistered-start',
      `worker: this process started a run of ${workflow}, which is not among its providers: the run waits for a process that has it`,
      undefined,
      { workflow: name },
    );
  }

  pollNow(): void {
    this.poller.pollNow();
  }

  /** Does due work without waiting for the next poll. A test that moves its clock needs this. */
  workNow(): void {
    this.timers.refresh();
    this.schedules.refresh();
    this.bulkOperations.sweepNow();
  }

  noteWake(wakeAt: number): void {
    this.timers.note(wakeAt);
  }

  messaged(runIds: readonly string[]): void {
    if (!this.running) return;
    this.worker
      .checkMessages(runIds)
      .catch((error: unknown) => this.runtime.warn('messages-not-read', 'worker: could not read messages', error));
  }

  noticed(notice: Notice): void {
    if (notice.due && notice.due.length > 0) this.poller.pollNow();
    if (notice.messages && notice.messages.length > 0) this.messaged(notice.messages);
    if (notice.wakeAt !== undefined) this.timers.note(notice.wakeAt);
  }

  directLost(): Promise<void> {
    return this.session.unlock();
  }

  directConnected(): void {
    void this.session.lock();
    this.timers.refresh();
    this.poller.pollNow();
  }
}
