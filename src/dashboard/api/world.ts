import type { WorldListOptions, WorldRunPage } from '../../client/queries/world-runs.js';
import { checkNames, numberOf } from './parameters.js';
import type { Route } from './route.js';

/** Routes for the runs of the Workflow DevKit, which the dashboard only shows. */
export const worldRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: 'world',
    summary: 'Lists runs of the Workflow DevKit in the same database, newest first.',
    query: {
      workflowName: 'Name of a workflow of the kit.',
      status: 'Status of the runs.',
      cursor: 'The `cursor` of the previous page.',
      limit: 'Runs per page, from 1 to 1,000. (default: 50)',
      schema: 'Schema of the World. (default: the variable DURABLE_WORLD_SCHEMA of the application, or durable_world)',
    },
    answer: ({ client, query }): Promise<WorldRunPage> => {
      const names = ['workflowName', 'status', 'cursor', 'schema'];
      checkNames(query, [...names, 'limit']);
      const given = Object.fromEntries(names.flatMap((name) => (query.has(name) ? [[name, query.get(name)!] as const] : [])));
      const limit = numberOf(query, 'limit');
      return client.world.list({ ...(given as WorldListOptions), ...(limit === undefined ? {} : { limit }) });
    },
  },
];
