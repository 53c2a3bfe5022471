import type { WorkflowClient } from '../client/client.js';
import { WorkflowError } from '../core/errors/index.js';
import type { RunListener } from '../core/run-events.js';
import { within } from '../core/async.js';
import { sleep } from '../core/timers.js';
import type { KnownWorker } from '../client/queries/health.js';
import { isInRecovery } from '../store/sql/connection-probes.js';
import { explainReadOnly } from '../store/standby.js';
import type { EventDispatcher } from '../maintenance/event-dispatcher.js';
import type { ListenerDelivery } from '../maintenance/listener-delivery.js';
import type { QStashTransport } from '../transports/qstash/transport.js';
import { executingLine, listeningLine, NO_WORKFLOWS, UNKNOWN_BUILD } from './boot-lines.js';
import { whileAway } from './boot-retry.js';
import { failedBoot } from './connection-checks.js';
import type { Deployment } from './deployment.js';
import type { FoundWorkflow } from './found-workflow.js';
import { findForeignHome, foreignHomeLine, foreignHomeRemedy, whenHome } from './home-check.js';
import type { HostDependencies } from './host-dependencies.js';
import { createEventDispatcher, emittingListeners } from './event-host.js';
import { createListenerDelivery } from './listener-host.js';
import type { DeclaredSchedule } from '../core/schedules/declared-schedule.js';
import { PollingHost } from './polling-host.js';
import { PushHost } from './push-host.js';
import { createSchedules } from './schedule-host.js';
import { describeUnregistered } from './unregistered-runs.js';
import { START_WORKER, type IdleReason } from './unregistered-results.js';
import type { UnregisteredWatch } from './unregistered-watch.js';

/** Milliseconds between a failed start of a worker and the next attempt. */
const START_AGAIN_MS = 1_000;

/** Milliseconds that the stop waits for the dispatcher of events. */
const DISPATCH_STOP_MS = 1_000;

const NO_WORKER = { state: 'stopped', runs: 0, slots: 0, freeSlots: 0, unwritable: [] } as const;

/** Parts of a runtime that its worker hosts use, in addition to `HostDependencies`. */
export interface WorkerHostsDependencies extends HostDependencies {
  readonly qstash: QStashTransport | undefined;
  readonly deployment: Deployment;
  readonly watch: UnregisteredWatch;
  readonly client: WorkflowClient;
}

/**
 * Starts and stops the hosts of a module, which execute its runs: one that polls, one that QStash
 * calls, both, or none.
 */
export class WorkerHosts {
  polling: PollingHost | undefined;
  push: PushHost | undefined;
  /** Methods of the application that receive run events. The boot sets them. */
  listeners: readonly RunListener[] = [];
  /** Schedules that the workflows of the application declare. The boot sets them. */
  declaredSchedules: readonly DeclaredSchedule[] = [];
  private delivery: ListenerDelivery | undefined;
  /** Dispatches events; undefined until this process executes runs. */
  dispatcher: EventDispatcher | undefined;
  /** Reason why this process executes no runs yet. The boot updates it at each stage. */
  idleBecause = 'the module has not been initialized (module.init(), or app.listen())';
  /** Reason why the runs in the database do not belong to this process. */
  private foreign: string | undefined;
  /**
   * True once the boot has decided that this process executes runs. A process that has only
   * listeners has no worker.
   */
  isExpected = false;
  private isStopped = false;

  constructor(
    private readonly runtime: WorkerHostsDependencies,
    /** Milliseconds that the boot waits for a database that does not answer. */
    private readonly patienceMs: number,
  ) {}

  /** Reason why this process executes no runs yet, and what the reader of an error can do. */
  get idle(): IdleReason {
    if (this.foreign === undefined) return { because: this.idleBecause, remedy: START_WORKER };
    return { because: this.foreign, remedy: foreignHomeRemedy(this.runtime.database.schema) };
  }

  /** State of the worker in this process, and the workflows that it serves. */
  get known(): KnownWorker {
    return this.polling?.known ?? this.push?.known ?? { health: NO_WORKER, keys: undefined };
  }

  /** True while the runs of schedules are being started. */
  get isStartingScheduled(): boolean {
    return this.polling?.isStartingScheduled === true;
  }

  /** True while listeners are being called, or the outcomes of their calls are being stored. */
  get isCallingListeners(): boolean {
    return this.delivery?.isCalling === true;
  }

  /** Dispatches events at once, and keeps the process of a platform running meanwhile. */
  dispatchEvents(): void {
    if (!this.dispatcher) return;
    this.dispatcher.poke();
    this.runtime.qstash?.settings.waitUntil?.(this.dispatcher.settled());
  }

  /** True while events are being dispatched, or waits are brought together with earlier events. */
  get isDispatching(): boolean {
    return this.dispatcher?.isBusy === true || this.runtime.meetings.isBusy;
  }

  /**
   * Starts the worker while the application boots. Waits for a database that does not answer, but
   * only for a limited time.
   *
   * @throws WorkflowConfigurationError, DatabaseUnavailableError
   */
  async startAtBoot(workflows: readonly FoundWorkflow[]): Promise<void> {
    this.isExpected = this.needsHost(workflows);
    const { database, logger, settings } = this.runtime;
    const start = async (): Promise<void> => {
      try {
        await this.start(workflows);
      } catch (error) {
        throw await explainReadOnly(error, () => isInRecovery(database));
      }
    };
    try {
      await whileAway(start, this.patienceMs, (message) => logger.line('warn', message, { code: 'database-unreachable' }));
    } catch (error) {
      throw error instanceof WorkflowError ? error : failedBoot('start its worker', settings, error);
    }
  }

  /**
   * Starts the worker of a process that is already in use. An error of the database delays the
   * start, but does not end the process.
   */
  async startWhenPossible(workflows: readonly FoundWorkflow[]): Promise<void> {
    this.isExpected = this.needsHost(workflows);
    while (!this.isStopped) {
      try {
        return await this.start(workflows);
      } catch (error) {
        this.runtime.warn('worker-not-started', 'worker: could not start; trying again', error);
        await sleep(START_AGAIN_MS);
      }
    }
  }

  /**
   * Stops executing runs. Step bodies may finish, and the remaining runs are released for other
   * processes. The client stays usable.
   */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all([
      this.polling?.stop(),
      this.push?.stop(),
      this.delivery?.stop(),
      this.dispatcher && within(DISPATCH_STOP_MS, this.dispatcher.stop()),
    ]);
  }

  private needsPolling(workflows: readonly FoundWorkflow[]): boolean {
    return this.runtime.settings.transport !== 'qstash' && workflows.length > 0;
  }

  private needsHost(workflows: readonly FoundWorkflow[]): boolean {
    const { qstash, settings } = this.runtime;
    return this.needsPolling(workflows) || (qstash !== undefined && settings.qstash !== undefined);
  }

  private async start(workflows: readonly FoundWorkflow[]): Promise<void> {
    if (this.isStopped) return;
    const { runtime } = this;
    const { database, settings, deployment, qstash } = runtime;
    const findForeign = (): Promise<string | undefined> => findForeignHome(database, settings.environment);
    const foreign = await findForeign();
    if (foreign !== undefined) return void this.startAtHome(workflows, foreign, findForeign);
    if (this.isStopped) return;
    deployment.foundWorkflows(workflows.map(({ source }) => source));
    runtime.metrics.expect(workflows.map(({ definition }) => definition.name));
    const delivery = await this.announceListeners();
    const dispatcher = (this.dispatcher ??= createEventDispatcher(runtime, workflows, deployment));
    await dispatcher.subscribe();
    const schedules = createSchedules(runtime, workflows, this.declaredSchedules, deployment.id);
    await schedules.declarations.declare('boot');
    // The application may be closed during each of these waits.
    if (this.isStopped) return;
    if (this.needsPolling(workflows)) {
      this.polling ??= new PollingHost(runtime, workflows, deployment.id, dispatcher, schedules);
      await this.polling.start();
    }
    if (qstash && settings.qstash) {
      const { publisher } = qstash;
      const parts = [this.polling, delivery, dispatcher, schedules] as const;
      this.push ??= new PushHost(runtime, workflows, deployment.id, publisher, settings.qstash, ...parts);
      qstash.ensureSchedule();
    }
    if (!this.isStopped) {
      delivery?.start();
      if (this.polling ?? this.push) dispatcher.start();
    }
    if (!deployment.isKnown && process.env['NODE_ENV'] !== 'test') runtime.warn('unknown-build', UNKNOWN_BUILD);
    if (this.polling) void this.warnOfUnregistered(this.polling);
    runtime.watch.note();
    if (workflows.length === 0) this.idleBecause = NO_WORKFLOWS;
    else runtime.logger.log(executingLine(runtime, workflows, deployment.id));
    if (this.listeners.length > 0) runtime.logger.log(listeningLine(this.listeners));
  }

  /**
   * Announces the listeners before this process executes runs, so that the events of these runs are
   * recorded.
   */
  private async announceListeners(): Promise<ListenerDelivery | undefined> {
    const { runtime } = this;
    const listeners = [...this.listeners, ...emittingListeners(runtime)];
    if (listeners.length === 0) return undefined;
    const delivery = (this.delivery ??= createListenerDelivery(runtime, listeners));
    await delivery.subscribe();
    runtime.database.listened.onAvailable = () => delivery.poke();
    return delivery;
  }

  /**
   * Starts the worker once the runs in the database belong to this process. Until then, logs the
   * reason why they do not.
   */
  private async startAtHome(
    workflows: readonly FoundWorkflow[],
    foreign: string,
    findForeign: () => Promise<string | undefined>,
  ): Promise<void> {
    const { database, logger } = this.runtime;
    const report = (reason: string): void => logger.line('error', foreignHomeLine(reason, database.schema), { code: 'foreign-home' });
    this.foreign = foreign;
    if (!(await whenHome(findForeign, foreign, () => this.isStopped, report))) return;
    this.foreign = undefined;
    await this.startWhenPossible(workflows);
  }

  private async warnOfUnregistered({ known }: PollingHost): Promise<void> {
    const { runtime } = this;
    try {
      for (const { code, message } of await describeUnregistered(runtime.database, known.keys ?? [])) runtime.warn(code, message);
    } catch (error) {
      if (!this.isStopped) runtime.warn('due-lookup-failed', 'worker: could not look up due runs', error);
    }
  }
}
