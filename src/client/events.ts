import { checkOptions } from '../core/check-options.js';
import { toTimestamp } from '../core/duration.js';
import { EventNotFoundError, InvalidInputError } from '../core/errors/index.js';
import { checkEvent, type EventDefinition } from '../core/event.js';
import { checkText } from '../core/ids.js';
import type { Payloads } from '../core/payloads.js';
import { listEvents, redeliverEvent, type EventPlace, type EventRow } from '../store/sql/list-events.js';
import { assertOutsideRun } from './assert-outside-run.js';
import type { ClientDependencies } from './dependencies.js';
import { checkLimit } from './queries/cursor.js';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;

/** Filter of `client.events.list`. */
export interface EventFilter {
  /** Name of the event, or an event made by `defineEvent`. (default: all events) */
  event?: string | EventDefinition<unknown, never>;
  /** Key of the events. Needs `event`. (default: all keys) */
  key?: string;
  /** Id of the event. (default: all ids) */
  id?: string;
  /** Events that were emitted at this moment or later. (default: no limit) */
  emittedAfter?: Date;
  /** Events that were emitted before this moment. (default: no limit) */
  emittedBefore?: Date;
  /** Number of events per page, from 1 to 1,000. (default: 50) */
  limit?: number;
  /** Cursor that the previous page returned. (default: the first page) */
  cursor?: string;
}

/** A stored event. */
export interface EventDescription {
  /** Name of the event. */
  name: string;
  /** Id of the event. */
  id: string;
  /** Key of the event. Undefined for an event without a key. */
  key: string | undefined;
  /**
   * Payload of the event; `true` for an event without a payload. A PayloadUnreadableError when this
   * process cannot read the payload.
   */
  payload: unknown;
  /** Moment of the emit. */
  emittedAt: Date;
  /**
   * Moment at which the event happened: that of the emit, or, for an emit in a transaction, the
   * moment at which a process saw the event after the commit. Undefined before that.
   */
  happenedAt: Date | undefined;
  /** Moment at which the event had reached all its receivers. Undefined before that. */
  dispatchedAt: Date | undefined;
  /** Id of the run that emitted the event. Undefined when no run did. */
  emittedBy: string | undefined;
}

/** One page of events. */
export interface EventPage {
  /** Events, newest first. */
  events: EventDescription[];
  /** Cursor of the next page. Undefined on the last page. */
  cursor: string | undefined;
}

/** Stored events. See docs/events.md. */
export class Events {
  readonly #dependencies: ClientDependencies;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Returns the stored events with payloads that are decoded in another way.
   *
   * @internal
   */
  withPayloads(payloads: Payloads): Events {
    return new Events(Object.create(this.#dependencies, { payloads: { value: payloads } }) as ClientDependencies);
  }

  /**
   * Lists stored events, newest first. The option `events.retention` decides how long events are
   * stored.
   *
   * @throws InvalidInputError when the filter or the cursor is invalid
   * @example
   * const { events, cursor } = await client.events.list({ event: orderPaid, key: order.id });
   */
  async list(filter: EventFilter = {}): Promise<EventPage> {
    assertOutsideRun('events.list');
    const given = checkOptions(filter, 'filter', ['event', 'key', 'id', 'emittedAfter', 'emittedBefore', 'limit', 'cursor']);
    const name = given.event === undefined ? null : nameOf(given.event, 'filter.event');
    if (given.key !== undefined && name === null) throw new InvalidInputError('filter.key', 'needs filter.event');
    const conditions = {
      name,
      key: given.key === undefined ? null : checkText(given.key, 'filter.key'),
      id: given.id === undefined ? null : checkText(given.id, 'filter.id'),
      after: given.emittedAfter === undefined ? null : toTimestamp(given.emittedAfter, 'filter.emittedAfter'),
      before: given.emittedBefore === undefined ? null : toTimestamp(given.emittedBefore, 'filter.emittedBefore'),
    };
    const limit = checkLimit(given.limit, 'filter.limit', DEFAULT_LIMIT, MAX_LIMIT);
    const place = given.cursor === undefined ? undefined : decodePlace(given.cursor);
    const rows = await listEvents(this.#dependencies.database, conditions, place, limit + 1);
    const shown = rows.slice(0, limit);
    return { events: shown.map((row) => this.#describe(row)), cursor: rows.length > limit ? encodePlace(shown.at(-1)!) : undefined };
  }

  /**
   * Dispatches a stored event again, for example to a workflow that has subscribed later. Nothing
   * happens twice: a run that the event has started, or that has received the event, is left out.
   *
   * @param event name of the event, or an event made by `defineEvent`
   * @param id id of the event
   * @throws InvalidInputError when an argument is invalid
   * @throws EventNotFoundError when no such event is stored
   * @example await client.events.redeliver(orderPaid, stripeEvent.id);
   */
  async redeliver(event: string | EventDefinition<unknown, never>, id: string): Promise<void> {
    assertOutsideRun('events.redeliver');
    const name = nameOf(event, 'event');
    const found = await redeliverEvent(this.#dependencies.database, name, checkText(id, 'id'));
    if (!found) throw new EventNotFoundError(name, id);
    this.#dependencies.emitted();
  }

  #describe(row: EventRow): EventDescription {
    const { name, id, key, emittedAt, happenedAt, dispatchedAt, emitterRunId } = row;
    return {
      name,
      id,
      key: key ?? undefined,
      payload: this.#payloadOf(row),
      emittedAt: new Date(emittedAt),
      happenedAt: happenedAt === 'infinity' ? undefined : new Date(Number(happenedAt) / 1_000),
      dispatchedAt: dispatchedAt === null ? undefined : new Date(dispatchedAt),
      emittedBy: emitterRunId ?? undefined,
    };
  }

  #payloadOf({ payload }: EventRow): unknown {
    try {
      return this.#dependencies.payloads.decode(payload, 'payload');
    } catch (error) {
      return error;
    }
  }
}

function nameOf(event: unknown, argument: string): string {
  return typeof event === 'string' ? checkText(event, argument) : checkEvent(event, argument).name;
}

function encodePlace({ happenedAt, seq }: EventPlace): string {
  return Buffer.from(`1 ${happenedAt} ${seq}`).toString('base64url');
}

function decodePlace(cursor: unknown): EventPlace {
  const text = typeof cursor === 'string' && cursor.length < 200 ? Buffer.from(cursor, 'base64url').toString() : '';
  const [, happenedAt, seq] = /^1 (infinity|\d{1,18}) (\d{1,18})$/.exec(text) ?? [];
  if (happenedAt === undefined || seq === undefined)
    throw new InvalidInputError('filter.cursor', 'is not a cursor that a listing returned');
  return { happenedAt, seq };
}
