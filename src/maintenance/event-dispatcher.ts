import { performance } from 'node:perf_hooks';

import type { Warn } from '../core/log-fields.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import type { Database } from '../store/database.js';
import type { EventMeetings } from '../store/event-meetings.js';
import {
  claimEvents,
  claimWaitingEvents,
  eventsDispatched,
  readEventPayloads,
  renewEvents,
  subscribeWorkflows,
  waitingEventsStarted,
  type ClaimedEvent,
} from '../store/sql/dispatch-events.js';
import { expireEvents } from '../store/sql/list-events.js';
import { findUnarmed, findWaitsOf, type WaitKey } from '../store/sql/event-waits.js';
import { BackgroundService } from './background-service.js';
import { EventStarts, groupBy, type EventStartsOptions } from './event-starts.js';

/** Maximum number of events that this process dispatches at the same time. */
const MAX_EVENTS = 100;
/** Maximum number of waits of one event that one query returns. */
const MAX_WAITS = 200;
/** Milliseconds for which no other process dispatches an event that this process has claimed. */
const LEASE_MS = 10_000;
/** Milliseconds after which a claim is renewed while the fan-out of its event continues. */
const RENEW_AFTER_MS = 3_000;
/** Milliseconds before the next try after an error of the database. */
const FAILED_PAUSE_MS = 1_000;
/** Milliseconds after the last event for which this process looks for events of other processes. */
const ACTIVE_MS = 60_000;
/** Milliseconds after which a process confirms its subscriptions again. */
const CONFIRM_AFTER_MS = 600_000;
export interface EventDispatcherOptions extends EventStartsOptions {
  /** Milliseconds between two queries while events are in use; infinity with QStash. */
  readonly pollIntervalMs: number;
  readonly metrics: DurableMetrics;
  /** Tells other processes that an event waits for the class of a workflow. */
  readonly handedOver: () => void;
  readonly warn: Warn;
}

/**
 * Dispatches emitted events: starts the workflows that have subscribed to an event, and resumes the
 * runs that wait for the event. Any process may dispatch an event, and each part of the work has no
 * effect the second time. So another process repeats the work of a process that died, from the
 * waits that have not received the event.
 */
export class EventDispatcher extends BackgroundService {
  private activeUntil = Number.NEGATIVE_INFINITY;
  private isAgain = false;
  private isDispatching = false;
  /** Functions to call when the present work has ended. */
  private waiting: (() => void)[] = [];
  private confirmedAt = Number.NEGATIVE_INFINITY;
  private readonly starts: EventStarts;

  constructor(
    private readonly database: Database,
    private readonly meetings: EventMeetings,
    private readonly options: EventDispatcherOptions,
  ) {
    super();
    this.starts = new EventStarts(database, meetings, options);
  }

  /** True while events are being dispatched. */
  get isBusy(): boolean {
    return this.isDispatching;
  }

  /** Begins to look for events when the workflows of this process have subscriptions. */
  override start(): void {
    super.start();
    if (this.options.subscriptions.length === 0 && this.activeUntil < performance.now()) this.schedule(Number.POSITIVE_INFINITY);
  }

  /** Stores the subscriptions of this process. Called before the process executes runs. */
  async subscribe(): Promise<void> {
    const { subscriptions } = this.options;
    if (subscriptions.length === 0) return;
    await subscribeWorkflows(this.database, subscriptions);
    this.confirmedAt = performance.now();
  }

  /** Looks for events at once: an event was emitted. */
  poke(): void {
    this.activeUntil = performance.now() + ACTIVE_MS;
    this.isAgain = true;
    this.schedule(0);
  }

  /**
   * Resolves when this process has dispatched the events of which it was told until now, or has
   * failed to. A platform may freeze the process after that.
   */
  settled(): Promise<void> {
    if (!this.isRunning || !(this.isAgain || this.isWorking)) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.release();
  }

  private release(): void {
    const released = this.waiting;
    this.waiting = [];
    for (const resolve of released) resolve();
  }

  /** Looks for events regularly for some time: a run of this process waits for an event. */
  expect(): void {
    const wasActive = this.activeUntil > performance.now();
    this.activeUntil = performance.now() + ACTIVE_MS;
    if (!wasActive) this.schedule(this.options.pollIntervalMs);
  }

  /** Dispatches until no event waits, for processes that work only while they are called. */
  async run(signal: AbortSignal): Promise<undefined> {
    await this.confirm();
    while (!signal.aborted && (await this.dispatch(signal)) > 0);
  }

  protected async work(): Promise<number> {
    try {
      await this.confirm();
      do {
        this.isAgain = false;
        while (this.isRunning && (await this.dispatch()) > 0) this.activeUntil = performance.now() + ACTIVE_MS;
      } while (this.isAgain && this.isRunning);
    } catch (error) {
      this.options.warn('events-not-dispatched', 'events: could not dispatch events yet; trying again', error);
      return FAILED_PAUSE_MS;
    } finally {
      this.release();
    }
    const isActive = this.activeUntil > performance.now() || this.options.subscriptions.length > 0;
    return isActive ? this.options.pollIntervalMs : Number.POSITIVE_INFINITY;
  }

  /** Shortens the pause for an event that has arrived after the work computed its pause. */
  protected override latestPauseMs(): number {
    if (this.isAgain) return 0;
    return this.activeUntil > performance.now() ? this.options.pollIntervalMs : Number.POSITIVE_INFINITY;
  }

  private async confirm(): Promise<void> {
    if (performance.now() - this.confirmedAt > CONFIRM_AFTER_MS) await this.subscribe();
  }

  /**
   * Dispatches events that no other process has claimed.
   *
   * @returns number of events
   */
  private async dispatch(signal?: AbortSignal): Promise<number> {
    const { classBound } = this.starts;
    const claim = () => claimEvents(this.database, MAX_EVENTS, LEASE_MS);
    const dispatched = await this.withClaim(claim, async (events, renew) => {
      const missing = await this.starts.startAll(events, renew);
      if (!(await this.resumeRuns(events, renew, signal))) return false;
      await eventsDispatched(this.database, seqsOf(events), missing);
      if (missing.length > 0) this.options.handedOver();
      for (const { name } of events) this.options.metrics.eventDispatched(name);
      return true;
    });
    if (classBound.length === 0) return dispatched;
    const claimWaiting = () => claimWaitingEvents(this.database, MAX_EVENTS, LEASE_MS, classBound);
    const started = await this.withClaim(claimWaiting, async (events, renew) => {
      await this.starts.startOwn(events, renew);
      await waitingEventsStarted(this.database, seqsOf(events), classBound);
      return true;
    });
    return dispatched + started;
  }

  /**
   * Does the work on claimed events.
   *
   * @param work returns false when the work was interrupted, and must call `renew` now and then
   * @returns number of events whose work is done
   */
  private async withClaim(
    claim: () => Promise<ClaimedEvent[]>,
    work: (events: readonly ClaimedEvent[], renew: () => Promise<void>) => Promise<boolean>,
  ): Promise<number> {
    this.isDispatching = true;
    let events: ClaimedEvent[] = [];
    let isDone = false;
    let renewedAt = performance.now();
    const renew = async (): Promise<void> => {
      if (performance.now() - renewedAt <= RENEW_AFTER_MS) return;
      await renewEvents(this.database, seqsOf(events), LEASE_MS);
      renewedAt = performance.now();
    };
    try {
      events = await claim();
      if (events.length === 0) return 0;
      isDone = await work(events, renew);
      return isDone ? events.length : 0;
    } finally {
      // Other processes may take the events at once, instead of after the lease.
      if (!isDone && events.length > 0) await renewEvents(this.database, seqsOf(events), -LEASE_MS).catch(() => undefined);
      this.isDispatching = false;
    }
  }

  /**
   * Resumes the runs that wait for the events, page by page.
   *
   * @returns false when the signal, or the end of the service, has interrupted the work
   */
  private async resumeRuns(events: readonly ClaimedEvent[], renew: () => Promise<void>, signal: AbortSignal | undefined): Promise<boolean> {
    let open = events.map((event) => ({ ...event, after: FIRST }));
    while (open.length > 0) {
      if (signal?.aborted || (!signal && !this.isRunning)) return false;
      const found = await findWaitsOf(this.database, open, MAX_WAITS);
      const conditional = [...new Set(found.flatMap(({ seq, condition }) => (condition === null ? [] : [seq])))];
      const payloads = conditional.length > 0 ? await readEventPayloads(this.database, conditional) : new Map<string, string>();
      const fitting = found.filter(({ seq, condition }) => {
        const payload = payloads.get(seq);
        return condition === null || (payload !== undefined && this.meetings.matches(condition, seq, payload));
      });
      await this.meetings.meet([...new Map(fitting.map((wait) => [`${wait.runId}\n${wait.stepKey}`, wait])).values()]);
      const pages = groupBy(found, ({ seq }) => seq);
      open = open.flatMap((event) => {
        const page = pages.get(event.seq) ?? [];
        return page.length < MAX_WAITS ? [] : [{ ...event, after: page.at(-1)! }];
      });
      if (open.length > 0) await renew();
    }
    return true;
  }
}

function seqsOf(events: readonly ClaimedEvent[]): string[] {
  return events.map(({ seq }) => seq);
}

/** Place before the first wait. */
const FIRST: WaitKey = { runId: '', stepKey: '' };

/** Maximum number of waits that one sweep looks at. */
const MAX_UNARMED = 1_000;

/** Looks for the events of waits whose process died before it had looked. */
export async function meetUnarmed(database: Database, meetings: EventMeetings): Promise<void> {
  await meetings.meet(await findUnarmed(database, MAX_UNARMED));
}

/** Maximum number of events that one statement deletes. */
const MAX_EXPIRED = 1_000;

/** Deletes events that are older than the retention. */
export async function removeExpiredEvents(database: Database, retentionMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await expireEvents(database, retentionMs, MAX_EXPIRED)) > 0);
}
