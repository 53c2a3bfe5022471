import { performance } from 'node:perf_hooks';

import type { EventSubscription } from '../core/event.js';
import { newNonce } from '../core/ids.js';
import type { Warn } from '../core/log-fields.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { ANY_VERSION, type NewRun } from '../core/run.js';
import type { Database } from '../store/database.js';
import type { EventMeetings } from '../store/event-meetings.js';
import {
  claimEvents,
  eventsDispatched,
  readEventPayloads,
  readSubscriptions,
  renewEvents,
  subscribeWorkflows,
  unsubscribeWorkflow,
  type ClaimedEvent,
  type StoredSubscription,
} from '../store/sql/dispatch-events.js';
import { expireEvents } from '../store/sql/list-events.js';
import { findUnarmed, findWaitsOf, type WaitKey } from '../store/sql/event-waits.js';
import { BackgroundService } from './background-service.js';
import { eventRunId } from './event-run-id.js';

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
/**
 * Milliseconds after which a subscription that the code of this process no longer has is removed.
 * Until then, processes of an earlier deployment may confirm it.
 */
const OLD_AFTER_MS = 1_800_000;

export interface EventDispatcherOptions {
  /** Milliseconds between two queries while events are in use; infinity with QStash. */
  readonly pollIntervalMs: number;
  /** Subscriptions of the workflows of this process. */
  readonly subscriptions: readonly EventSubscription[];
  /** Names of the workflows of this process. */
  readonly workflows: ReadonlySet<string>;
  /** Id of the deployment, which started runs record. */
  readonly deploymentId: () => string | null;
  /** Starts a run. Has no effect if the run exists. Rejects when the run could not be started. */
  readonly start: (run: NewRun) => Promise<void>;
  readonly metrics: DurableMetrics;
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
  private confirmedAt = Number.NEGATIVE_INFINITY;
  private readonly own: ReadonlySet<string>;

  constructor(
    private readonly database: Database,
    private readonly meetings: EventMeetings,
    private readonly options: EventDispatcherOptions,
  ) {
    super();
    this.own = new Set(options.subscriptions.map(textOf));
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
    }
    const isActive = this.activeUntil > performance.now() || this.options.subscriptions.length > 0;
    return isActive ? this.options.pollIntervalMs : Number.POSITIVE_INFINITY;
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
    this.isDispatching = true;
    let events: ClaimedEvent[] = [];
    let isDone = false;
    try {
      events = await claimEvents(this.database, MAX_EVENTS, LEASE_MS);
      if (events.length === 0) return 0;
      await this.startRuns(events);
      if (!(await this.resumeRuns(events, signal))) return 0;
      await eventsDispatched(this.database, seqsOf(events));
      isDone = true;
      for (const { name } of events) this.options.metrics.eventDispatched(name);
      return events.length;
    } finally {
      // Other processes may take the events at once, instead of after the lease.
      if (!isDone && events.length > 0) await renewEvents(this.database, seqsOf(events), -LEASE_MS).catch(() => undefined);
      this.isDispatching = false;
    }
  }

  /** Starts a run for each event and each workflow that has subscribed to it. */
  private async startRuns(events: readonly ClaimedEvent[]): Promise<void> {
    const names = [...new Set(events.map(({ name }) => name))];
    const subscriptions = await this.inForce(await readSubscriptions(this.database, names, OLD_AFTER_MS));
    if (subscriptions.length === 0) return;
    const byName = groupBy(subscriptions, ({ event }) => event);
    const wanted = events.filter(({ name }) => byName.has(name));
    if (wanted.length === 0) return;
    const payloads = await readEventPayloads(this.database, seqsOf(wanted));
    const runs = new Map<string, NewRun>();
    for (const event of wanted) {
      const payload = payloads.get(event.seq);
      if (payload === undefined) continue;
      for (const subscription of byName.get(event.name)!) {
        const { condition } = subscription;
        if (condition !== '' && !this.meetings.matches(condition, event.seq, payload)) continue;
        const run = this.runOf(event, subscription, payload);
        runs.set(run.id, run);
      }
    }
    await Promise.all([...runs.values()].map((run) => this.options.start(run)));
  }

  /**
   * Leaves out subscriptions that the code of this process no longer has, and removes them. While
   * processes of an earlier deployment may still have the subscription, it stays in force.
   */
  private async inForce(stored: readonly StoredSubscription[]): Promise<StoredSubscription[]> {
    const isGone = (each: StoredSubscription): boolean =>
      each.isOld && this.options.workflows.has(each.workflow) && !this.own.has(textOf(each));
    for (const gone of stored.filter(isGone)) await unsubscribeWorkflow(this.database, gone, OLD_AFTER_MS);
    return stored.filter((each) => !isGone(each));
  }

  private runOf(event: ClaimedEvent, { workflow, id, queue }: EventSubscription, payload: string): NewRun {
    return {
      id: eventRunId(workflow, event, id),
      hasGivenId: true,
      name: workflow,
      version: ANY_VERSION,
      queue,
      priority: 0,
      input: payload,
      tags: {},
      delayMs: null,
      startAt: null,
      nonce: newNonce(),
      deploymentId: this.options.deploymentId(),
      timeoutMs: null,
      traceContext: event.traceContext,
    };
  }

  /**
   * Resumes the runs that wait for the events, page by page.
   *
   * @returns false when the signal, or the end of the service, has interrupted the work
   */
  private async resumeRuns(events: readonly ClaimedEvent[], signal: AbortSignal | undefined): Promise<boolean> {
    let renewedAt = performance.now();
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
      if (open.length > 0 && performance.now() - renewedAt > RENEW_AFTER_MS) {
        await renewEvents(this.database, seqsOf(events), LEASE_MS);
        renewedAt = performance.now();
      }
    }
    return true;
  }
}

function seqsOf(events: readonly ClaimedEvent[]): string[] {
  return events.map(({ seq }) => seq);
}

/** Place before the first wait. */
const FIRST: WaitKey = { runId: '', stepKey: '' };

function textOf({ event, workflow, id, condition }: EventSubscription): string {
  return [event, workflow, id, condition].join('\n');
}

/** Groups items by a text. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

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
