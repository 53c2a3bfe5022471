/**
 * World for the Workflow DevKit (`workflow` on npm) on PostgreSQL.
 *
 * @module
 */
import { createWorld } from './create-world.js';

export { createPostgresUpstashWorld, createWorld } from './create-world.js';
export { getWorldToken, WorldModule, type WorldModuleAsyncOptions } from './nest/world.module.js';
export type { WorldOptions, WorldQStashOptions } from './options.js';
export type {
  CreatedEvent,
  CreateEventParams,
  DeliveryMeta,
  ListParams,
  NewWorldEvent,
  Page,
  Pagination,
  QueueHandler,
  QueueOptions,
  ReadParams,
  ResolveData,
  StreamChunk,
  StreamChunks,
  StreamInfo,
  World,
  WorldEvent,
  WorldHook,
  WorldRun,
  WorldRunStatus,
  WorldStep,
  WorldWait,
} from './contract.js';

export default createWorld;
