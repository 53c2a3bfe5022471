import { AsyncLocalStorage } from 'node:async_hooks';

import type { QueueHandler, World } from './contract.js';

/**
 * Key of the process-wide World, which WorldModule or a call with options has made. The key is
 * global, because the kit loads this package in its own way and may get a second copy.
 */
const SHARED = Symbol.for('nestjs-durable/world');

/** Key of the World of each delivery that is being executed. Global for the same reason. */
const DELIVERING = Symbol.for('nestjs-durable/world/delivering');

const holder = globalThis as { [SHARED]?: World; [DELIVERING]?: AsyncLocalStorage<World> };

/**
 * World of the current delivery. A delivery that outlives the close of its World must not write to
 * another one, which the environment may name. The closed World refuses its writes, and another
 * process executes the delivery again.
 */
const delivering = (holder[DELIVERING] ??= new AsyncLocalStorage<World>());

/** Makes a World the one that the kit gets in this process. */
export function shareWorld(world: World): void {
  holder[SHARED] = world;
}

/** Ends the sharing of a World. */
export function unshareWorld(world: World): void {
  if (holder[SHARED] === world) delete holder[SHARED];
}

/**
 * Shares a World until it is closed. Deliveries that end while the World closes still need it. The
 * last of several Worlds counts.
 */
export function shareUntilClosed(world: World): World {
  const shared: World = { ...world, close: () => world.close().finally(() => unshareWorld(shared)) };
  shareWorld(shared);
  return shared;
}

type Method = (...args: unknown[]) => unknown;

/** Makes functions of these names that call the functions of an object found at the call. */
function forward<T extends object>(names: readonly (keyof T)[], find: () => T): T {
  const call =
    (name: keyof T): Method =>
    // Options that are missing reject the call.
    async (...args) =>
      (find()[name] as Method)(...args);
  return Object.fromEntries(names.map((name) => [name, call(name)])) as T;
}

/**
 * World that is looked up at each call: the one of the current delivery, the one that is shared in
 * the process, or one of its own.
 * The kit creates its World while the application's files are loaded, before Nest creates modules.
 */
export function lateWorld(specVersion: number, create: () => World): World {
  let own: World | undefined;
  const find = (): World => delivering.getStore() ?? holder[SHARED] ?? (own ??= create());
  const methods = [
    'queue',
    'getDeploymentId',
    'writeToStream',
    'writeToStreamMulti',
    'closeStream',
    'readFromStream',
    'listStreamsByRunId',
    'getStreamChunks',
    'getStreamInfo',
  ] as const;
  return {
    ...forward<Pick<World, (typeof methods)[number]>>(methods, find),
    specVersion,
    createQueueHandler: (prefix, handler) => lateHandler(find, prefix, handler),
    runs: forward<World['runs']>(['get', 'list'], () => find().runs),
    steps: forward<World['steps']>(['get', 'list'], () => find().steps),
    events: forward<World['events']>(['create', 'get', 'list', 'listByCorrelationId'], () => find().events),
    hooks: forward<World['hooks']>(['get', 'getByToken', 'list'], () => find().hooks),
    streams: forward<World['streams']>(['write', 'writeMulti', 'close', 'get', 'list', 'getChunks', 'getInfo'], () => find().streams),
    start: async () => find().start(),
    // A World that was never used has nothing to close. The module closes its World itself.
    close: async () => own?.close(),
  };
}

function lateHandler(find: () => World, prefix: string, handler: QueueHandler): (request: Request) => Promise<Response> {
  let made: { readonly world: World; readonly handle: (request: Request) => Promise<Response> } | undefined;
  return (request) => {
    const world = find();
    if (made?.world !== world) made = { world, handle: world.createQueueHandler(prefix, handler) };
    return delivering.run(world, made.handle, request);
  };
}
