import type { EventDescription } from '../../client/events.js';
import { checkNames, numberOf } from './parameters.js';
import { REASON, type Route } from './route.js';
import { PREVIEW_LENGTH, shownPayload, type ShownPayload } from './shown.js';

/** A stored event with its payload as text. */
export interface ShownEvent extends Omit<EventDescription, 'payload'> {
  readonly payload: ShownPayload;
}

/** A page of events, newest first. */
export interface ShownEventPage {
  readonly events: readonly ShownEvent[];
  readonly cursor: string | undefined;
}

/** Routes for events. */
export const eventRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'events',
    summary: 'Lists stored events, newest first.',
    query: {
      event: 'Name of the event.',
      key: 'Key of the events. Needs `event`.',
      id: 'Id of the event.',
      cursor: 'The `cursor` of the previous page.',
      limit: 'Events per page, from 1 to 1,000. (default: 50)',
    },
    answer: async ({ events, query }): Promise<ShownEventPage> => {
      checkNames(query, ['event', 'key', 'id', 'cursor', 'limit']);
      const given = ['event', 'key', 'id', 'cursor'].flatMap((name) => (query.has(name) ? [[name, query.get(name)!] as const] : []));
      const limit = numberOf(query, 'limit');
      const page = await events.list({ ...Object.fromEntries(given), ...(limit === undefined ? {} : { limit }) });
      return {
        cursor: page.cursor,
        events: page.events.map(({ payload, ...event }) => ({ ...event, payload: shownPayload(payload, PREVIEW_LENGTH) })),
      };
    },
  },
  {
    method: 'POST',
    path: 'events/:name/:id/redeliver',
    summary: 'Dispatches a stored event again. Runs that the event has reached before are left out.',
    body: REASON,
    answer: async ({ events, param }): Promise<Record<string, never>> => {
      await events.redeliver(param('name'), param('id'));
      return {};
    },
  },
];
