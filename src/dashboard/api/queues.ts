import type { QueueDescription } from '../../client/queues.js';
import type { ScheduleDescription } from '../../client/schedules/schedule-description.js';
import type { Done } from './actions.js';
import { checkNames, numberOf } from './parameters.js';
import { auditOf, REASON, type Route } from './route.js';

/** A page of schedules. */
export interface ScheduleList {
  readonly schedules: readonly ScheduleDescription[];
}

/** Routes for queues and schedules. */
export const queueRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'queues',
    summary: 'Lists the queues that have or had limits.',
    answer: async ({ client }): Promise<{ queues: QueueDescription[] }> => ({ queues: await client.queues.list() }),
  },
  {
    method: 'POST',
    path: 'queues/:name/pause',
    summary: 'Pauses a queue: it admits no run.',
    body: {},
    answer: async ({ client, param }): Promise<QueueDescription> => {
      await client.queues.pause(param('name'));
      return client.queues.get(param('name'));
    },
  },
  {
    method: 'POST',
    path: 'queues/:name/resume',
    summary: 'Resumes a paused queue.',
    body: {},
    answer: async ({ client, param }): Promise<QueueDescription> => {
      await client.queues.resume(param('name'));
      return client.queues.get(param('name'));
    },
  },
  {
    method: 'POST',
    path: 'queues/:name/clear',
    summary: 'Cancels all runs that wait for a place in a queue.',
    body: REASON,
    answer: async ({ client, param, ...request }): Promise<{ count: number }> => ({
      count: await client.queues.clear(param('name'), auditOf(request)),
    }),
  },
  {
    method: 'GET',
    path: 'schedules',
    summary: 'Lists schedules by name.',
    query: { after: 'Name of the last schedule of the page before.', limit: 'Schedules per page, from 1 to 1,000. (default: 100)' },
    answer: async ({ client, query }): Promise<ScheduleList> => {
      checkNames(query, ['after', 'limit']);
      const after = query.get('after');
      const limit = numberOf(query, 'limit');
      const options = { ...(after === null ? {} : { after }), ...(limit === undefined ? {} : { limit }) };
      return { schedules: await client.schedules.list(options) };
    },
  },
  {
    method: 'POST',
    path: 'schedules/:name/pause',
    summary: 'Pauses a schedule.',
    body: REASON,
    answer: ({ client, param, body: { reason } }): Promise<ScheduleDescription> =>
      client.schedules.pause(param('name'), typeof reason === 'string' && reason !== '' ? { reason } : {}),
  },
  {
    method: 'POST',
    path: 'schedules/:name/resume',
    summary: 'Resumes a paused schedule.',
    body: {},
    answer: ({ client, param }): Promise<ScheduleDescription> => client.schedules.resume(param('name')),
  },
  {
    method: 'POST',
    path: 'schedules/:name/trigger',
    summary: 'Starts a run of a schedule now.',
    body: {},
    answer: async ({ client, param }): Promise<Done> => ({ runId: (await client.schedules.trigger(param('name'))).runId }),
  },
];
