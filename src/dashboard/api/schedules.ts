import type { ScheduleDescription } from '../../client/schedules/schedule-description.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { Done } from './actions.js';
import { checkNames, numberOf, timeOf } from './parameters.js';
import { auditOf, REASON, type Route } from './route.js';

/** A page of schedules. */
export interface ScheduleList {
  readonly schedules: readonly ScheduleDescription[];
}

/** Runs that a backfill has started. */
export interface Backfilled {
  readonly runIds: readonly string[];
}

/** Routes for schedules. */
export const scheduleRoutes: readonly Route[] = [
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
    summary: 'Pauses a schedule. The schedule shows the reason.',
    body: REASON,
    answer: ({ client, param, ...request }): Promise<ScheduleDescription> => {
      const { reason } = auditOf(request);
      return client.schedules.pause(param('name'), reason === undefined ? {} : { reason });
    },
  },
  {
    method: 'POST',
    path: 'schedules/:name/resume',
    summary: 'Resumes a paused schedule.',
    body: REASON,
    answer: ({ client, param }): Promise<ScheduleDescription> => client.schedules.resume(param('name')),
  },
  {
    method: 'POST',
    path: 'schedules/:name/trigger',
    summary: 'Starts a run of a schedule now.',
    body: REASON,
    answer: async ({ client, param }): Promise<Done> => ({ runId: (await client.schedules.trigger(param('name'))).runId }),
  },
  {
    method: 'POST',
    path: 'schedules/:name/backfill',
    summary: 'Starts a run for each due time of a past period that has no run yet, at most 1,000.',
    body: {
      from: { type: 'string', about: 'Beginning of the period, inclusive: a time, or a duration before now such as 2h. Required.' },
      to: { type: 'string', about: 'End of the period, exclusive, as `from`. (default: now)' },
      ...REASON,
    },
    answer: async ({ client, param, now, body: { from, to } }): Promise<Backfilled> => {
      const period = { from: timeIn(from, 'from', now()), ...(to === undefined ? {} : { to: timeIn(to, 'to', now()) }) };
      return { runIds: await client.schedules.backfill(param('name'), period) };
    },
  },
  {
    method: 'POST',
    path: 'schedules/:name/delete',
    summary: 'Deletes a schedule that no process declares. Its runs continue.',
    body: REASON,
    answer: async ({ client, param }): Promise<Record<string, never>> => {
      await client.schedules.delete(param('name'));
      return {};
    },
  },
];

function timeIn(value: unknown, name: string, now: number): Date {
  if (typeof value !== 'string') throw new InvalidInputError(name, 'must be a time such as 2026-03-01T12:00Z');
  return timeOf(value, name, now);
}
