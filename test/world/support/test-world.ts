import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { newRunId } from '../../../src/core/ids.js';
import { assembleWorld } from '../../../src/world/assemble-world.js';
import { loadKit } from '../../../src/world/kit.js';
import { resolveOptions, type WorldOptions } from '../../../src/world/options.js';
import type { NewWorldEvent, QueueHandler, World } from '../../../src/world/index.js';
import { kitFolder } from './kits.js';

export type Line = 'stable' | 'beta5' | 'beta7';

/** Version of the contract of each line. */
export const SPECS: Record<Line, number> = { stable: 3, beta5: 5, beta7: 7 };

/** A World of an installed line of the kit. */
export function createTestWorld(line: Line, options: WorldOptions): World {
  return assembleWorld(resolveOptions(options), loadKit(kitFolder(line)));
}

export const newId = (): string => `wrun_${newRunId()}`;

export const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

/** Event of a new run. */
export function runCreated(world: World, data: Record<string, unknown> = {}): NewWorldEvent {
  const eventData = { deploymentId: 'default', workflowName: 'test', input: bytes(1, 2, 3), ...data };
  return { eventType: 'run_created', specVersion: world.specVersion, eventData };
}

/** Creates a run, and starts it. */
export async function startRun(world: World, runId = newId()): Promise<string> {
  await world.events.create(runId, runCreated(world));
  await world.events.create(runId, { eventType: 'run_started', specVersion: world.specVersion });
  return runId;
}

/** Error as the kit's runtime sees it. */
export interface KitError {
  readonly name: string;
  readonly status?: number;
  readonly retryAfter?: number;
}

/** Returns the error with which a call rejects. */
export async function refusalOf(call: Promise<unknown>): Promise<KitError> {
  try {
    await call;
  } catch (error) {
    const { name, status, retryAfter } = error as KitError;
    return { name, ...(status === undefined ? {} : { status }), ...(retryAfter === undefined ? {} : { retryAfter }) };
  }
  throw new Error('the call did not reject');
}

/** Routes of an application, served by HTTP. */
export interface ServedRoutes {
  readonly url: string;
  /** Headers of the requests that arrived. */
  readonly headers: NodeJS.Dict<string | string[]>[];
  close(): Promise<void>;
}

/**
 * Serves a handler of the kit's routes. The World must have been created with the returned address.
 */
export async function serve(answer: (request: Request) => Promise<Response>): Promise<ServedRoutes> {
  const headers: NodeJS.Dict<string | string[]>[] = [];
  const server: Server = createServer((incoming, outgoing) => {
    headers.push(incoming.headers);
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const url = `http://localhost${incoming.url}`;
      const request = new Request(url, { method: 'POST', headers: incoming.headers as Record<string, string>, body: Buffer.concat(parts) });
      void answer(request).then(async (response) => {
        outgoing.writeHead(response.status);
        outgoing.end(await response.text());
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://localhost:${(server.address() as AddressInfo).port}`, headers, close };
}

/** A started World whose messages a function of the test takes. */
export async function deliverTo(
  line: Line,
  options: WorldOptions | ((url: string) => WorldOptions),
  handler: QueueHandler,
): Promise<{ world: World; routes: ServedRoutes; close: () => Promise<void> }> {
  let answer: (request: Request) => Promise<Response> = () => Promise.reject(new Error('the World is not there yet'));
  const routes = await serve((request) => answer(request));
  const given = typeof options === 'function' ? options(routes.url) : { baseUrl: routes.url, pollIntervalMs: 100, ...options };
  const world = createTestWorld(line, given);
  answer = world.createQueueHandler('__wkf_workflow_', handler);
  await world.start();
  return {
    world,
    routes,
    close: async () => {
      await world.close();
      await routes.close();
    },
  };
}
