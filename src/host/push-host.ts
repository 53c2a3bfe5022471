import { performance } from 'node:perf_hooks';
import type { KnownWorker } from '../client/queries/health.js';
import { ClosedError } from '../core/errors/index.js';
import { AbortGate, within } from '../core/async.js';
import type { Warn } from '../core/log-fields.js';
import { sleep } from '../core/timers.js';
import { meetUnarmed, removeExpiredEvents, type EventDispatcher } from '../maintenance/event-dispatcher.js';
import type { Sweep } from '../maintenance/sweep.js';
import { createSweeps } from '../maintenance/sweeps.js';
import type { ClaimedRun } from '../store/sql/claim-runs.js';
import { forgetWakeUps } from '../store/sql/outbox.js';
import { refreshKnownQueues } from '../store/sql/queues.js';
import { hasFreeQueuedRun } from '../store/sql/schedules.js';
import { Deliveries, type DeliveryOutcome } from '../transports/qstash/deliveries.js';
import type { SweepPart, WakeUpMessage } from '../transports/qstash/message.js';
import type { Publisher } from '../transports/qstash/publisher.js';
import type { QStashSettings } from '../transports/qstash/settings.js';
import { WorkflowRegistry } from '../worker/registry.js';
import type { HostDependencies } from './host-dependencies.js';
import type { FoundWorkflow } from './found-workflow.js';
import { schedulesSweep, type HostSchedules } from './schedule-host.js';
import { workerEvents } from './worker-events.js';
import { createWorker, queuesOf } from './create-worker.js';
import { withSetAside } from './unwritable-health.js';
import { WakeUpSweep } from './wake-up-sweep.js';

/** Milliseconds for which one sweep continues while more work becomes due. */
const SWEEP_AGAIN_MS = 10_000;
/**
 * Milliseconds for which one call admits runs of rate limits. Longer than a second, so that the
 * call that QStash makes for the next second finds no gap.
 */
const ADMIT_AGAIN_MS = 1_500;

type PushedSweep = Pick<Sweep, 'run' | 'failure'>;

/** Bounds a sweep that works for as long as there is work. Takeovers wait for all sweeps. */
function inTime(sweep: Sweep): PushedSweep {
  return {
    failure: sweep.failure,
    run: (signal) => sweep.run(AbortSignal.any([signal, AbortSignal.timeout(SWEEP_AGAIN_MS)])),
  };
}

/**
 * Executes runs in a process that QStash calls when a run is due. QStash also calls a sweep, which
 * replaces timers and finds runs whose messages were lost.
 */
export class PushHost {
  private readonly registry: WorkflowRegistry;
  private readonly deliveries: Deliveries;
  private readonly schedulesSweep: PushedSweep;
  /** Parts of the sweep that QStash calls alone, and how long one call continues. */
  private readonly parts: Readonly<Record<SweepPart, readonly [sweep: PushedSweep, againMs: number]>>;
  private readonly sweeps: readonly PushedSweep[];
  private sweeping: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private readonly stopping = new AbortGate();
  private readonly stopped = new AbortController();

  constructor(
    private readonly runtime: HostDependencies,
    workflows: readonly FoundWorkflow[],
    private readonly deploymentId: string,
    private readonly publisher: Publisher,
    settings: QStashSettings,
    /**
     * Polling worker of this process, or undefined. If present, this worker executes the delivered
     * runs, because two workers in one process cannot share the journal, which writes the results
     * of runs.
     */
    private readonly resident: { pollNow(): void } | undefined,
    /** Calls the listeners of this process; undefined without listeners. */
    private readonly listeners: Pick<Sweep, 'run'> | undefined,
    private readonly dispatcher: EventDispatcher,
    schedules: HostSchedules,
  ) {
    const { database } = runtime;
    this.registry = new WorkflowRegistry(workflows.map(({ definition }) => definition));
    const create = () => createWorker(runtime, this.registry, deploymentId, 'named', workerEvents(runtime)).worker;
    const warn: Warn = (code, message, error, fields) => runtime.warn(code, message, error, fields);
    this.deliveries = new Deliveries(database, create, publisher, settings, warn, runtime.admissions, (run) => this.finish(run));
    this.schedulesSweep = schedulesSweep(
      schedules,
      (at) => runtime.scheduled(at),
      () => runtime.clock.now(),
    );
    const { admissions } = runtime;
    const queuesSweep = {
      failure: 'sweep: could not admit runs of rate limits',
      run: async () => {
        await refreshKnownQueues(database);
        return admissions.admitOpened();
      },
    };
    this.parts = { schedules: [this.schedulesSweep, SWEEP_AGAIN_MS], queues: [queuesSweep, ADMIT_AGAIN_MS] };
    this.sweeps = this.createSweeps();
  }

  /**
   * Creates the sweeps in the order in which they are executed. Adds a sweep that announces to
   * QStash due runs that no process has claimed, and runs whose sleep has ended.
   */
  private createSweeps(): readonly PushedSweep[] {
    const { runtime, publisher } = this;
    const { deadSessions, others, deletions } = createSweeps({
      database: runtime.database,
      payloads: runtime.payloads,
      notifier: runtime.notifier,
      admissions: runtime.admissions,
      notices: runtime,
      metrics: runtime.metrics,
      retention: runtime.retention.ifUsed,
      streamRetention: runtime.settings.streamRetention,
      deploymentId: this.deploymentId,
      sessionTtlMs: runtime.settings.worker.sessionTtlMs,
      ownSession: () => undefined,
      served: () => this.registry.keys(this.queues),
      returned: (runIds) => publisher.announce(runIds.map((id) => ({ id }))),
      eventRetentionMs: runtime.settings.eventRetentionMs,
      eventWork: async (signal) => {
        await this.dispatcher.run(signal);
        await meetUnarmed(runtime.database, runtime.meetings);
        await removeExpiredEvents(runtime.database, runtime.settings.eventRetentionMs, signal);
      },
      warn: (code, message, error, fields) => runtime.warn(code, message, error, fields),
    });
    const wakeUps = new WakeUpSweep(runtime, publisher, () => this.registry.keys(this.queues), this.deploymentId);
    const { listeners } = this;
    const calls = listeners ? [{ failure: 'sweep: could not call listeners', run: (signal: AbortSignal) => listeners.run(signal) }] : [];
    // No timer of this process notices that another process has changed the limits of queues.
    const limits = {
      failure: 'sweep: could not read the limits of queues',
      run: async () => {
        await refreshKnownQueues(runtime.database);
        return undefined;
      },
    };
    return [limits, deadSessions, wakeUps, this.schedulesSweep, ...others, ...calls, ...deletions.map(inTime)];
  }

  get known(): KnownWorker {
    const load = this.deliveries.current?.load;
    const health = {
      state: 'running',
      runs: load?.runs ?? 0,
      slots: load?.slots ?? 0,
      freeSlots: load?.freeSlots ?? 0,
      unwritable: withSetAside([], this.runtime.database),
    } as const;
    return { health, keys: this.registry.keys(this.queues) };
  }

  /**
   * Executes the run that a message names, or notifies the polling worker of this process.
   *
   * @returns the result, which decides how the request of QStash is answered
   * @throws errors of the database; ClosedError when the application is closed before the database
   *   has answered
   */
  async deliver(message: WakeUpMessage): Promise<DeliveryOutcome> {
    const { metrics } = this.runtime;
    try {
      const outcome = await this.execute(message);
      metrics.delivered(outcome);
      return outcome;
    } catch (error) {
      metrics.delivered('error');
      throw error;
    }
  }

  private async execute(message: WakeUpMessage): Promise<DeliveryOutcome> {
    if (!this.resident) return this.stopping.until(this.deliveries.deliver(message));
    if (this.stopped.signal.aborted) return 'closed';
    this.resident.pollNow();
    return 'notified';
  }

  /** Delivers new messages to the given runs. Ignores runs that this process does not execute. */
  messaged(runIds: readonly string[]): void {
    const checked = this.deliveries.current?.checkMessages(runIds);
    checked?.catch((error: unknown) => this.runtime.warn('messages-not-read', 'worker: could not read messages', error));
  }

  /**
   * Finds work that was not announced: sleeps that have ended, runs of processes that died, and
   * messages and due runs whose announcement was lost.
   *
   * @param part `schedules` only starts the runs of due schedules; `queues` only admits the runs
   *   that rate limits allow now
   * @throws errors of the database; ClosedError when the application is closed before the database
   *   has answered
   */
  sweep(part: SweepPart | 'all'): Promise<void> {
    return this.stopping.until(part === 'all' ? this.inTurn() : this.sweepOnce(...this.parts[part]));
  }

  /** Runs one sweep at a time. All requests that arrive during a sweep share the next one. */
  private inTurn(): Promise<void> {
    if (this.sweeping) {
      this.next ??= this.sweeping
        .catch(() => undefined)
        .then(() => {
          this.next = undefined;
          return this.inTurn();
        });
      return this.next;
    }
    this.sweeping = this.sweepAll().finally(() => (this.sweeping = undefined));
    return this.sweeping;
  }

  /**
   * Executes all sweeps. A sweep that fails does not keep the next ones from their work.
   *
   * @throws the first error, so that QStash repeats the request
   */
  private async sweepAll(): Promise<void> {
    const errors: unknown[] = [];
    for (const sweep of this.sweeps) {
      await this.sweepOnce(sweep).catch((error: unknown) => {
        errors.push(error);
        if (!(error instanceof ClosedError)) this.runtime.warn('sweep-failed', sweep.failure, error);
      });
    }
    if (errors.length > 0) throw errors[0];
    await forgetWakeUps(this.runtime.database);
  }

  private async sweepOnce(sweep: PushedSweep, againMs = SWEEP_AGAIN_MS): Promise<void> {
    const { signal } = this.stopped;
    const until = performance.now() + againMs;
    let dueInMs = await sweep.run(signal);
    // A bulk operation with a rate limit has several parts. Execute more than one part per sweep,
    // while there is time.
    while (dueInMs !== undefined && !signal.aborted && performance.now() + dueInMs < until) {
      await sleep(dueInMs, undefined, { ref: false });
      dueInMs = await sweep.run(signal);
    }
  }

  /**
   * Does what the run has caused before the delivery is answered, because the platform may freeze
   * the process afterwards: dispatches the events that the run has emitted, looks for the events of
   * its waits, and starts the queued run of its schedule.
   */
  private async finish(run: ClaimedRun): Promise<void> {
    await this.startQueued(run);
    await within(SWEEP_AGAIN_MS, Promise.all([this.runtime.meetings.settled(), this.dispatcher.settled()]));
  }

  /**
   * Starts the queued run of a schedule when the run before it has ended. Otherwise the queued run
   * would wait for the sweep.
   */
  private async startQueued({ schedule }: ClaimedRun): Promise<void> {
    try {
      if (schedule && (await hasFreeQueuedRun(this.runtime.database, schedule.name))) await this.schedulesSweep.run(this.stopped.signal);
    } catch (error) {
      this.runtime.warn('schedules-unavailable', 'schedules: could not start a queued run; the sweep will start the run', error);
    }
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.deliveries.close();
    // Ends the deliveries that still wait for the database. The HTTP server cannot close until
    // every request has an answer.
    this.stopping.abort(new ClosedError());
  }

  async fenced(sessionId: string): Promise<void> {
    await this.deliveries.current?.fenced(sessionId);
  }

  async moved(): Promise<void> {
    await this.deliveries.current?.serverMoved();
  }

  private get queues(): readonly string[] {
    return queuesOf(this.runtime.settings, this.registry);
  }
}
