import type { Database } from '../store/database.js';
import { WorldConnections } from './connections.js';
import type { World } from './contract.js';
import { guard } from './guard.js';
import type { Kit } from './kit.js';
import { lineOf, withoutPayloads } from './line.js';
import { QueueService } from './queue/queue-service.js';
import { EventReader } from './store/event-reader.js';
import { EventWriter } from './store/event-writer.js';
import { StreamStore } from './store/stream-store.js';
import { StreamService } from './streams/stream-service.js';
import { StreamSignals } from './streams/stream-signals.js';
import { Warnings } from './warnings.js';
import type { WorldSettings } from './options.js';

/**
 * Puts a World together from checked options, for an installed kit.
 *
 * @param shared pool to use instead of an own one
 */
export function assembleWorld(settings: WorldSettings, kit: Kit, shared?: Database): World {
  const line = lineOf(kit.specVersion, kit.maxSpecVersion);
  const connections = new WorldConnections(settings, shared);
  const { database } = connections;
  const { warn } = new Warnings();
  const ready = (): Promise<void> => connections.ready();
  const reader = new EventReader(database, kit, line);
  const writer = new EventWriter(database, kit, line, reader);
  const streams = new StreamService(
    new StreamStore(database),
    kit,
    new StreamSignals(settings.pooler === undefined ? database : undefined),
  );
  const queue = new QueueService({ database, kit, settings, ready, warn });
  let closing: Promise<void> | undefined;

  // The kit calls methods unbound.
  const method = <Args extends unknown[], T>(work: (...args: Args) => Promise<T>): ((...args: Args) => Promise<T>) =>
    guard(kit, async (...args) => {
      await ready();
      return work(...args);
    });

  const write = method<Parameters<World['streams']['write']>, void>((runId, name, chunk) => streams.write(name, runId, [chunk]));
  const writeMulti = method<Parameters<World['streams']['writeMulti']>, void>((runId, name, chunks) => streams.write(name, runId, chunks));
  const closeStream = method<Parameters<World['streams']['close']>, void>((runId, name) => streams.close(name, runId));
  const read = method<[name: string, startIndex?: number], ReadableStream<Uint8Array>>((name, startIndex = 0) =>
    streams.read(name, startIndex),
  );
  const list = method((runId: string) => streams.list(runId));
  const chunks = method((name: string, given?: { limit?: number; cursor?: string }) => streams.chunks(name, given));
  const info = method((name: string) => streams.info(name));

  return {
    specVersion: line.specVersion,
    getDeploymentId: () => Promise.resolve(settings.deploymentId),
    queue: method((name, message, given) => queue.add(name, message, given)),
    createQueueHandler: (prefix, handler) => queue.createHandler(prefix, handler),
    runs: {
      get: method((runId, params) => reader.getRun(runId, params)),
      list: method((params) => reader.listRuns(params)),
    },
    steps: {
      get: method((runId, stepId, params) => reader.getStep(runId, stepId, params)),
      list: method((params) => reader.listSteps(params)),
    },
    events: {
      create: method(async (runId, event, params) => {
        const created = await writer.create(runId, event, params);
        return params?.resolveData === 'none' ? withoutPayloads(created) : created;
      }),
      get: method((runId, eventId, params) => reader.getEvent(runId, eventId, params)),
      list: method((params) => reader.list(params)),
      listByCorrelationId: method((params) => reader.listByCorrelationId(params)),
    },
    hooks: {
      get: method((hookId, params) => reader.getHook(hookId, params)),
      getByToken: method((token, params) => reader.getHookByToken(token, params)),
      list: method((params) => reader.listHooks(params)),
    },
    streams: {
      write,
      writeMulti,
      close: closeStream,
      get: (_runId, name, startIndex) => read(name, startIndex),
      list,
      getChunks: (_runId, name, given) => chunks(name, given),
      getInfo: (_runId, name) => info(name),
    },
    writeToStream: (name, runId, chunk) => write(runId, name, chunk),
    writeToStreamMulti: (name, runId, given) => writeMulti(runId, name, given),
    closeStream: (name, runId) => closeStream(runId, name),
    readFromStream: read,
    listStreamsByRunId: list,
    getStreamChunks: (name, _runId, given) => chunks(name, given),
    getStreamInfo: (name) => info(name),
    // The errors of a start are for a person, so the guard does not convert them.
    start: async () => {
      await ready();
      await queue.start();
    },
    close: () => {
      closing ??= (async () => {
        await streams.stop();
        await queue.stop();
        await connections.close();
      })();
      return closing;
    },
  };
}
