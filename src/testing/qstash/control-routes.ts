import { badRequest } from './api-error.js';
import type { EmulatorServices } from './emulator-services.js';
import type { QueueSettings } from './queues.js';
import { type ApiRequest, type ApiResponse, type Route, route } from './router.js';
import { durationOfHeader } from './duration.js';

const DONE: ApiResponse = { status: 200 };

/** Returns the API's routes for queues, flow control and signing keys. */
export function controlRoutes(services: EmulatorServices): Route[] {
  return [...queueRoutes(services), ...flowRoutes(services), ...keyRoutes(services)];
}

function queueRoutes(services: EmulatorServices): Route[] {
  const { queues, store, clock, driver } = services;
  const update = (name: string, settings: QueueSettings): ApiResponse => {
    queues.upsert(name, settings, clock.now());
    driver.changed();
    return DONE;
  };
  return [
    ...route('GET', '/v2/queues', () => ({ status: 200, body: queues.list(store.pending()) })),
    ...route('POST', '/v2/queues', ({ body }) => {
      const { queueName, ...settings } = parseQueue(body);
      return update(queueName, settings);
    }),
    ...route('GET', '/v2/queues/:', ({ params }) => ({ status: 200, body: queues.view(params[0]!, store.pending()) })),
    ...route('DELETE', '/v2/queues/:', ({ params }) => {
      queues.delete(params[0]!);
      services.cancel(store.pending().filter(({ queue }) => queue === params[0]));
      driver.changed();
      return DONE;
    }),
    ...route('POST', '/v2/queues/:/pause', ({ params }) => update(params[0]!, { paused: true })),
    ...route('POST', '/v2/queues/:/resume', ({ params }) => update(params[0]!, { paused: false })),
  ];
}

function parseQueue(body: Buffer): QueueSettings & { queueName: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
  } catch {
    throw badRequest('the queue is not JSON');
  }
  const { queueName, parallelism, paused } = (parsed ?? {}) as Record<string, unknown>;
  if (typeof queueName !== 'string' || queueName === '') throw badRequest('queueName is missing');
  if (parallelism !== undefined && !(Number.isInteger(parallelism) && (parallelism as number) > 0)) throw badRequest('invalid parallelism');
  return { queueName, parallelism: parallelism as number | undefined, paused: paused === undefined ? undefined : paused === true };
}

function flowRoutes({ flows, quota, dispatcher, clock, driver }: EmulatorServices): Route[] {
  const view = (key: string): object => flows.view(key, dispatcher.waitingFor(key));
  const routeThatChanges =
    (apply: (key: string, query: URLSearchParams) => void) =>
    ({ params, query }: ApiRequest): ApiResponse => {
      apply(params[0]!, query);
      driver.changed();
      return DONE;
    };
  return [
    ...route('GET', '/v2/flowControl', () => ({ status: 200, body: flows.keys().map(view) })),
    ...route('GET', '/v2/flowControl/:', ({ params }) => ({ status: 200, body: view(params[0]!) })),
    ...route('GET', '/v2/globalParallelism', () => ({
      status: 200,
      body: { parallelismMax: quota.parallelism, parallelismCount: dispatcher.active },
    })),
    ...route(
      'POST',
      '/v2/flowControl/:/pause',
      routeThatChanges((key) => flows.setPaused(key, 'paused')),
    ),
    ...route(
      'POST',
      '/v2/flowControl/:/resume',
      routeThatChanges((key) => flows.setPaused(key, 'running')),
    ),
    ...route(
      'POST',
      '/v2/flowControl/:/pin',
      routeThatChanges((key, query) =>
        flows.pin(key, {
          parallelism: countParameter(query, 'parallelism'),
          rate: countParameter(query, 'rate'),
          periodMs: periodMs(query),
        }),
      ),
    ),
    ...route(
      'POST',
      '/v2/flowControl/:/unpin',
      routeThatChanges((key, query) =>
        flows.unpin(
          key,
          (['parallelism', 'rate'] as const).filter((name) => query.get(name) === 'true'),
        ),
      ),
    ),
    ...route(
      'POST',
      '/v2/flowControl/:/resetRate',
      routeThatChanges((key) => flows.resetRate(key, clock.now())),
    ),
  ];
}

function countParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text !== null && !/^[1-9]\d*$/.test(text)) throw badRequest(`invalid ${name}: ${text}`);
  return text === null ? undefined : Number(text);
}

/**
 * Returns the parameter `period` of the query in milliseconds; undefined when the parameter is
 * missing. The parameter is a number of seconds or a duration.
 */
function periodMs(query: URLSearchParams): number | undefined {
  const text = query.get('period');
  if (text === null) return undefined;
  return /^\d+$/.test(text) ? Number(text) * 1_000 : durationOfHeader('period', text);
}

function keyRoutes({ keys }: EmulatorServices): Route[] {
  const view = (): ApiResponse => ({ status: 200, body: { current: keys.current, next: keys.next } });
  return [
    ...route('GET', '/v2/keys', view),
    ...route('POST', '/v2/keys/rotate', () => {
      keys.rotate();
      return view();
    }),
  ];
}
