import { CHANGE_HEADER } from '../server/security.js';
import type { Field, Route } from './route.js';

/** Returns the OpenAPI document of the routes. Its addresses are relative to the document. */
export function openApiOf(routes: readonly Route[]): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = `/${route.path.replaceAll(/:(\w+)/g, '{$1}')}`;
    (paths[path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Dashboard of nestjs-durable',
      version: '1',
      description:
        'The guards of the dashboard protect every path. Times are ISO 8601 in UTC. ' +
        'A part of a path that begins with ~ is base64url, for ids with slashes. ' +
        'A part of more than 100 characters is ~, and the parameter ~1 of the query has the text; 1 is the place of the part. ' +
        `A POST needs the header ${CHANGE_HEADER} with any value, and a JSON body.`,
    },
    servers: [{ url: '.' }],
    paths,
    components: { schemas: { Error: ERROR } },
  };
}

const ERROR = {
  type: 'object',
  required: ['statusCode', 'message'],
  properties: {
    statusCode: { type: 'integer' },
    message: { type: 'string' },
    code: { type: 'string', description: 'Code of the error, such as RUN_NOT_FOUND.' },
  },
};

const failure = (description: string): unknown => ({
  description,
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
});

function operationOf({ method, path, summary, query = {}, body }: Route): unknown {
  const named = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
  const queried = Object.entries(query).map(([name, description]) => ({
    name,
    in: 'query',
    description,
    schema: description.includes('May be repeated') ? { type: 'array', items: { type: 'string' } } : { type: 'string' },
  }));
  const header = { name: CHANGE_HEADER, in: 'header', required: true, description: 'Any value.', schema: { type: 'string' } };
  return {
    operationId: `${method.toLowerCase()}-${path.replaceAll(/[^\w]+/g, '-')}`,
    summary,
    parameters: [...named, ...queried, ...(method === 'POST' ? [header] : [])],
    ...(body === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body) } } } }),
    responses: {
      '200': { description: 'Success.', content: { 'application/json': { schema: { type: 'object' } } } },
      '400': failure('A parameter or a field is invalid.'),
      ...(named.length === 0 ? {} : { '404': failure('There is no such run, queue, schedule or event.') }),
      ...(method === 'GET'
        ? {}
        : { '403': failure('The request is not allowed.'), '409': failure('The state of the run forbids the change.') }),
    },
  };
}

function schemaOf(body: Readonly<Record<string, Field>>): unknown {
  const required = Object.entries(body).filter(([, { about }]) => about.includes('Required.'));
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(
      Object.entries(body).map(([name, { type, about }]) => [name, { ...(type === undefined ? {} : { type }), description: about }]),
    ),
    ...(required.length === 0 ? {} : { required: required.map(([name]) => name) }),
  };
}
