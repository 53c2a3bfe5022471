import { performance } from 'node:perf_hooks';

import { within } from '../core/async.js';
import type { Warn } from '../core/log-fields.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { outsideUnrefined } from '../core/outside.js';
import { setTimeout } from '../core/timers.js';
import type { Payloads } from '../core/payloads.js';
import { LISTENER_TIMEOUT_MS, type AnyRunEvent, type RunListener } from '../core/run-events.js';
import type { Database } from '../store/database.js';
import { postponeEvent, removeEvents, takeEvents, type TakenEvent } from '../store/sql/deliver-events.js';
import { subscribe } from '../store/sql/subscriptions.js';
import { BackgroundService } from './background-service.js';
import { toRunEvent } from './to-run-event.js';

/** Maximum number of calls of one listener at the same time, in one process. */
const MAX_CALLS = 20;
/**
 * Milliseconds for which no other process takes an event that this process has taken. The time is
 * longer than a call may take, so a second process calls a listener only after a crash.
 */
const LEASE_MS = 60_000;
/** Milliseconds before the second, third, fourth and last call for an event. */
const RETRY_PAUSES_MS = [1_000, 5_000, 30_000, 120_000];
const MAX_ATTEMPTS = RETRY_PAUSES_MS.length + 1;
/**
 * Milliseconds before the second try to start the run of a durable listener. Each further pause is
 * twice as long, up to the maximum.
 */
const START_PAUSE_MS = 5_000;
const MAX_START_PAUSE_MS = 3_600_000;
/** Milliseconds for which events are recorded after the last process with a listener has gone. */
const SUBSCRIPTION_TTL_MS = 86_400_000;
/** Age of a subscription in milliseconds after which a process with the listener renews it. */
const RENEW_AFTER_MS = 3_600_000;
/**
 * Shortest pause in milliseconds between two queries for events that were announced. Each announced
 * event would otherwise make every process with listeners query.
 */
const MIN_PAUSE_MS = 100;
/** Milliseconds before the next try after an error of the database. */
const FAILED_PAUSE_MS = 1_000;
/** Milliseconds for which `stop` waits for a statement. */
const STATEMENT_STOP_MS = 1_000;
/** Milliseconds after which a sweep queries for events again although calls are in flight. */
const SWEEP_PAUSE_MS = 1_000;
/** Milliseconds for which one sweep calls listeners while more events are available. */
const SWEEP_MS = 20_000;

export interface ListenerDeliveryOptions {
  readonly payloads: Payloads;
  /**
   * Milliseconds between two queries for events that other processes have recorded. Infinity in a
   * process that QStash calls, which queries in its sweeps.
   */
  readonly pollIntervalMs: number;
  /** Milliseconds for which `stop` waits for calls. */
  readonly stopTimeoutMs: number;
  /** Starts the run that calls a durable listener. Has no effect if the run exists. */
  readonly startRun: (listener: RunListener, event: AnyRunEvent) => Promise<void>;
  readonly metrics: DurableMetrics;
  /** Logs the failure of a listener. Must not throw, whatever the listener has thrown. */
  readonly warn: Warn;
  /** Logs an error of the database. Must not throw. */
  readonly failed: (error: unknown) => void;
}

/**
 * Calls the listeners of this process with run events, at least once for each event. Every process
 * with a listener has this service, and one of them takes each event. The service holds no slot,
 * and no run waits for it.
 */
export class ListenerDelivery extends BackgroundService {
  private readonly listeners: ReadonlyMap<string, RunListener>;
  private readonly calls = new Map<string, number>();
  private readonly inFlight = new Set<Promise<void>>();
  /** Events whose listeners were called, and which are not removed yet. */
  private called: TakenEvent[] = [];
  private removing: Promise<void> | undefined;
  /** Milliseconds until the next query for events. */
  private pauseMs = 0;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private isStopping = false;
  private subscribedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly database: Database,
    listeners: readonly RunListener[],
    private readonly options: ListenerDeliveryOptions,
  ) {
    super();
    this.listeners = new Map(listeners.map((listener) => [listener.key, listener]));
    options.metrics.expectListeners(listeners.map(({ name }) => name));
  }

  /** True while listeners are being called, or the outcomes of their calls are being stored. */
  get isCalling(): boolean {
    return this.inFlight.size > 0 || this.called.length > 0 || this.removing !== undefined;
  }

  /** Announces the listeners of this process, so that every process records their events. */
  async subscribe(): Promise<void> {
    const ages = { ttlMs: SUBSCRIPTION_TTL_MS, renewAfterMs: RENEW_AFTER_MS };
    this.database.listened.refresh(await subscribe(this.database, [...this.listeners.values()], ages));
    this.subscribedAt = performance.now();
  }

  /** Looks for events at once, or when `MIN_PAUSE_MS` have passed since the last query. */
  poke(): void {
    this.lookIn(Math.max(0, this.lookedAt + MIN_PAUSE_MS - performance.now()));
  }

  /** Takes no further events. Resolves when the current calls have ended, or after a time limit. */
  override async stop(): Promise<void> {
    this.isStopping = true;
    await within(STATEMENT_STOP_MS, super.stop());
    await within(this.options.stopTimeoutMs, Promise.all(this.inFlight));
    await within(STATEMENT_STOP_MS, this.removeCalled());
  }

  /**
   * Calls listeners until no event is available, for processes that work only while they are
   * called (QStash).
   */
  async run(signal: AbortSignal): Promise<undefined> {
    const until = performance.now() + SWEEP_MS;
    while (!signal.aborted && !this.isStopping && performance.now() < until) {
      const taken = await this.deliver();
      if (taken === 0 && this.inFlight.size === 0) break;
      // A call that hangs must not delay the events of other listeners.
      if (this.inFlight.size > 0) await within(SWEEP_PAUSE_MS, Promise.race(this.inFlight));
      await within(MIN_PAUSE_MS, Promise.all(this.inFlight));
    }
    await Promise.all(this.inFlight);
    await this.removing;
  }

  protected async work(): Promise<number> {
    this.pauseMs = this.options.pollIntervalMs;
    this.lookedAt = performance.now();
    try {
      await this.deliver();
    } catch (error) {
      this.options.failed(error);
      return FAILED_PAUSE_MS;
    }
    return this.pauseMs;
  }

  private lookIn(pauseMs: number): void {
    this.pauseMs = Math.min(this.pauseMs, pauseMs);
    this.schedule(this.pauseMs);
  }

  /**
   * Takes events and begins the calls of their listeners.
   *
   * @returns number of events that were taken
   */
  private async deliver(): Promise<number> {
    if (performance.now() - this.subscribedAt > RENEW_AFTER_MS) await this.subscribe();
    if (this.called.length > 0) void this.removeCalled();
    const room = new Map<string, number>();
    for (const key of this.listeners.keys()) {
      const free = MAX_CALLS - (this.calls.get(key) ?? 0);
      if (free > 0) room.set(key, free);
    }
    if (room.size === 0) return 0;
    const taken = await takeEvents(this.database, room, LEASE_MS);
    for (const event of taken) {
      const call = this.call(event, this.listeners.get(event.listener)!).finally(() => this.inFlight.delete(call));
      this.inFlight.add(call);
    }
    return taken.length;
  }

  /** Calls a listener with an event. Never rejects. */
  private async call(taken: TakenEvent, listener: RunListener): Promise<void> {
    const { key } = listener;
    const calls = (this.calls.get(key) ?? 0) + 1;
    this.calls.set(key, calls);
    try {
      // The attempts before this one may have ended with their processes.
      if (listener.delivery === 'in process' && taken.attempt > MAX_ATTEMPTS) this.giveUp(taken, listener, undefined);
      else {
        await this.hand(toRunEvent(taken, this.options.payloads), listener);
        this.options.metrics.listenerCalled(listener.name, 'completed');
      }
      this.called.push(taken);
    } catch (error) {
      // If this fails, the event is available again when this process's time for it is over.
      await this.failedCall(taken, listener, error).catch((reason: unknown) => this.options.failed(reason));
    } finally {
      const left = this.calls.get(key)!;
      this.calls.set(key, left - 1);
      // While the listener had no room, nothing has looked for its events. Many may wait.
      if (left === MAX_CALLS) this.lookIn(0);
    }
    void this.removeCalled();
  }

  private async hand(event: AnyRunEvent, listener: RunListener): Promise<void> {
    if (listener.delivery === 'durable') return this.options.startRun(listener, event);
    const called = outsideUnrefined(async () => void (await listener.call(event)));
    if ((await within(LISTENER_TIMEOUT_MS, called)) === 'late') throw new Error(`did not return within ${LISTENER_TIMEOUT_MS / 1_000} s`);
  }

  private async failedCall(taken: TakenEvent, listener: RunListener, error: unknown): Promise<void> {
    const { attempt, runId, event } = taken;
    this.options.metrics.listenerCalled(listener.name, 'failed');
    const isDurable = listener.delivery === 'durable';
    const pauseMs = isDurable ? startPauseMs(attempt) : RETRY_PAUSES_MS[attempt - 1];
    if (pauseMs === undefined) {
      this.giveUp(taken, listener, error);
      this.called.push(taken);
      return;
    }
    const fields = { workflow: taken.facts.workflow, runId, attempt, ...(isDurable ? {} : { maxAttempts: MAX_ATTEMPTS }) };
    const what = isDurable ? 'could not start the run that calls' : 'failed';
    const subject = isDurable ? `${what} ${listener.name}` : `${listener.name} ${what}`;
    this.options.warn('listener-failed', `listeners: ${subject} on ${event}`, error, fields);
    try {
      await postponeEvent(this.database, taken, pauseMs);
      setTimeout(() => this.poke(), pauseMs).unref();
    } catch (reason) {
      // The event is available again when this process's time for it is over.
      this.options.failed(reason);
    }
  }

  private giveUp(taken: TakenEvent, { name }: RunListener, error: unknown): void {
    this.options.metrics.listenerDropped(name);
    const fields = { workflow: taken.facts.workflow, runId: taken.runId, attempt: MAX_ATTEMPTS, maxAttempts: MAX_ATTEMPTS };
    this.options.warn(
      'listener-gave-up',
      `listeners: ${name} gets no further call with this ${taken.event}: ${MAX_ATTEMPTS} attempts failed`,
      error,
      fields,
    );
  }

  /** Removes events whose listeners were called, several with one statement. Never rejects. */
  private removeCalled(): Promise<void> {
    this.removing ??= this.removeAll().finally(() => (this.removing = undefined));
    return this.removing;
  }

  private async removeAll(): Promise<void> {
    while (this.called.length > 0) {
      const events = this.called;
      this.called = [];
      try {
        await removeEvents(this.database, events);
      } catch (error) {
        this.called.push(...events);
        return this.options.failed(error);
      }
    }
  }
}

function startPauseMs(attempt: number): number {
  return Math.min(START_PAUSE_MS * 2 ** (attempt - 1), MAX_START_PAUSE_MS);
}
