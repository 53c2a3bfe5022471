import { assembleWorld } from './assemble-world.js';
import type { World } from './contract.js';
import { loadKit } from './kit.js';
import { resolveOptions, type WorldOptions } from './options.js';
import { lateWorld, shareUntilClosed } from './shared-world.js';

/**
 * Creates a World for the Workflow DevKit (`workflow` on npm): its runs, events, streams and queue
 * in PostgreSQL. The kit calls this function when `WORKFLOW_TARGET_WORLD` is
 * `nestjs-durable/world`. Opens no connection before the first use.
 *
 * A World with options serves the kit's routes too, until the World is closed: the kit creates the
 * World of its routes by itself, without options, while the files of the application are loaded.
 *
 * @param options options; what is missing comes from the environment (default: the World of the
 *   process, made by WorldModule or by a call with options; else all options from the environment)
 * @returns the World of the installed version of the kit
 * @throws WorkflowConfigurationError when the kit is missing or its version is not supported, or
 *   when no database is named; InvalidInputError for an invalid option
 * @example
 * const world = createWorld({ databaseUrl: 'postgresql://localhost/app' });
 * await world.start();
 */
export function createWorld(options?: WorldOptions): World {
  const kit = loadKit();
  if (options === undefined) return lateWorld(kit.specVersion, () => assembleWorld(resolveOptions(), kit));
  return shareUntilClosed(assembleWorld(resolveOptions(options), kit));
}

/**
 * Creates a World that polls or, with `qstash`, is called by QStash.
 *
 * @param options options of the World
 * @returns the World of the installed version of the kit
 * @throws the errors of `createWorld`
 * @example
 * const world = createPostgresUpstashWorld({
 *   databaseUrl: process.env.DATABASE_URL,
 *   qstash: { token: process.env.QSTASH_TOKEN, targetUrl: 'https://app.example.com' },
 *   deploymentId: 'production',
 * });
 */
export function createPostgresUpstashWorld(options: WorldOptions): World {
  return createWorld(options);
}
