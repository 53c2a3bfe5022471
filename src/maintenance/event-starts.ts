import type { EventSubscription } from '../core/event.js';
import { newNonce } from '../core/ids.js';
import { ANY_VERSION, type NewRun } from '../core/run.js';
import type { Database } from '../store/database.js';
import type { EventMeetings } from '../store/event-meetings.js';
import {
  readEventPayloads,
  readSubscriptions,
  unsubscribeWorkflow,
  type ClaimedEvent,
  type MissingClass,
  type StoredSubscription,
} from '../store/sql/dispatch-events.js';
import { eventRunId } from './event-run-id.js';

/** Maximum number of runs that are started at the same time. */
const MAX_STARTS = 1_000;

/**
 * Milliseconds after which a subscription that the code of this process no longer has is removed.
 * Until then, processes of an earlier deployment may confirm it.
 */
const OLD_AFTER_MS = 1_800_000;

export interface EventStartsOptions {
  /** Subscriptions of the workflows of this process. */
  readonly subscriptions: readonly EventSubscription[];
  /** Names of the workflows of this process. */
  readonly workflows: ReadonlySet<string>;
  /** Id of the deployment, which started runs record. */
  readonly deploymentId: () => string | null;
  /** Starts a run. Has no effect if the run exists. Rejects when the run could not be started. */
  readonly start: (run: NewRun) => Promise<void>;
}

/** A subscription, with one of the events that it selects and the payload of that event. */
interface Match {
  readonly event: ClaimedEvent;
  readonly subscription: StoredSubscription;
  readonly payload: string;
}

/** Starts the runs of the workflows that have subscribed to events. */
export class EventStarts {
  private readonly own: ReadonlySet<string>;
  /** Workflows of this process whose runs only their class can make. */
  readonly classBound: readonly string[];

  constructor(
    private readonly database: Database,
    private readonly meetings: EventMeetings,
    private readonly options: EventStartsOptions,
  ) {
    const { subscriptions } = options;
    this.own = new Set(subscriptions.map(textOf));
    this.classBound = [...new Set(subscriptions.filter(({ needsClass }) => needsClass).map(({ workflow }) => workflow))];
  }

  /**
   * Starts a run for each event and each workflow that has subscribed to it.
   *
   * @param renew keeps the events claimed
   * @returns the workflows that were left out: only their class can make the run, and this process
   *   does not have the class
   */
  async startAll(events: readonly ClaimedEvent[], renew: () => Promise<void>): Promise<MissingClass[]> {
    const matches = await this.matchesOf(events, () => true);
    const isMissing = ({ subscription: { needsClass, workflow } }: Match): boolean => needsClass && !this.options.workflows.has(workflow);
    await this.start(
      matches.filter((match) => !isMissing(match)),
      renew,
    );
    const missing = new Map(
      matches.filter(isMissing).map(({ event: { seq }, subscription: { workflow } }) => [`${seq} ${workflow}`, { seq, workflow }]),
    );
    return [...missing.values()];
  }

  /** Starts the runs of those workflows for whose class the events have waited. */
  async startOwn(events: readonly ClaimedEvent[], renew: () => Promise<void>): Promise<void> {
    await this.start(await this.matchesOf(events, ({ workflow }) => this.classBound.includes(workflow)), renew);
  }

  private async start(matches: readonly Match[], renew: () => Promise<void>): Promise<void> {
    const runs = [...new Map(matches.map((match) => this.runOf(match)).map((run) => [run.id, run])).values()];
    for (let first = 0; first < runs.length; first += MAX_STARTS) {
      await Promise.all(runs.slice(first, first + MAX_STARTS).map((run) => this.options.start(run)));
      await renew();
    }
  }

  private async matchesOf(events: readonly ClaimedEvent[], isWanted: (subscription: StoredSubscription) => boolean): Promise<Match[]> {
    const names = [...new Set(events.map(({ name }) => name))];
    const subscriptions = (await this.inForce(await readSubscriptions(this.database, names, OLD_AFTER_MS))).filter(isWanted);
    const byName = groupBy(subscriptions, ({ event }) => event);
    const wanted = events.filter(({ name }) => byName.has(name));
    if (wanted.length === 0) return [];
    const payloads = await readEventPayloads(
      this.database,
      wanted.map(({ seq }) => seq),
    );
    return wanted.flatMap((event) => {
      const payload = payloads.get(event.seq);
      if (payload === undefined) return [];
      const isMet = ({ condition }: StoredSubscription): boolean =>
        condition === '' || this.meetings.matches(condition, event.seq, payload);
      return byName
        .get(event.name)!
        .filter(isMet)
        .map((subscription) => ({ event, subscription, payload }));
    });
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

  private runOf({ event, subscription: { workflow, id, queue }, payload }: Match): NewRun {
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
}

function textOf({ event, workflow, id, condition }: EventSubscription): string {
  return [event, workflow, id, condition].join('\n');
}

/** Groups items by a text. */
export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
