import type { QueueDescription } from '../../client/queues.js';
import { isPlainObject } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { auditOf, REASON, type Field, type Route, type RouteRequest } from './route.js';

/** Creates the route of a change to one queue. The answer is the queue after the change. */
function change(
  name: string,
  summary: string,
  more: Readonly<Record<string, Field>>,
  act: (request: RouteRequest, queue: string) => Promise<void>,
): Route {
  return {
    method: 'POST',
    path: `queues/:name/${name}`,
    summary,
    body: { ...more, ...REASON },
    answer: async (request): Promise<QueueDescription> => {
      const queue = request.param('name');
      await act(request, queue);
      return request.client.queues.get(queue);
    },
  };
}

/** Routes for queues. */
export const queueRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'queues',
    summary: 'Lists the queues that have or had limits.',
    answer: async ({ client }): Promise<{ queues: QueueDescription[] }> => ({ queues: await client.queues.list() }),
  },
  change('pause', 'Pauses a queue: it admits no run.', {}, ({ client }, queue) => client.queues.pause(queue)),
  change('resume', 'Resumes a paused queue.', {}, ({ client }, queue) => client.queues.resume(queue)),
  change(
    'configure',
    'Replaces the limits of a queue in all processes, until the next call.',
    { limits: { about: "All limits of the queue, or `declared` for the limits of the module's options. Required." } },
    ({ client, body: { limits } }, queue) => {
      if (limits !== 'declared' && !isPlainObject(limits))
        throw new InvalidInputError('limits', "must be an object of limits, or 'declared'");
      return client.queues.configure(queue, limits);
    },
  ),
  {
    method: 'POST',
    path: 'queues/:name/clear',
    summary: 'Cancels all runs that wait for a place in a queue.',
    body: REASON,
    answer: async ({ client, param, ...request }): Promise<{ count: number }> => ({
      count: await client.queues.clear(param('name'), auditOf(request)),
    }),
  },
];
