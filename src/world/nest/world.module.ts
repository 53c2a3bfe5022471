import type { DynamicModule, FactoryProvider, ModuleMetadata } from '@nestjs/common';

import { poolOf } from '../../store/shared-pools.js';
import type { World } from '../contract.js';
import { assembleWorld } from '../assemble-world.js';
import { loadKit } from '../kit.js';
import { resolveOptions, type WorldOptions } from '../options.js';
import { shareWorld, unshareWorld } from '../shared-world.js';

const WORLD = 'nestjs-durable:world';
const WORLD_HOST = 'nestjs-durable:world-host';
const WORLD_OPTIONS = 'nestjs-durable:world-options';
/** Token of the client of WorkflowModule. */
const CLIENT = 'nestjs-durable:client';

/** Options of `WorldModule.forRootAsync`. */
export interface WorldModuleAsyncOptions {
  /** Modules whose providers the factory needs. */
  imports?: ModuleMetadata['imports'];
  /** Providers that are handed to the factory. */
  inject?: FactoryProvider['inject'];
  /** Returns the options of the World. */
  useFactory: (...args: never[]) => WorldOptions | Promise<WorldOptions>;
}

/**
 * Returns the token of the World of `WorldModule`.
 *
 * @returns the token
 * @example constructor(@Inject(getWorldToken()) private readonly world: World) {}
 */
export function getWorldToken(): string {
  return WORLD;
}

/** World with the life cycle of the application. Nest calls the hooks of any provider. */
class WorldHost {
  readonly world: World;

  constructor(options: WorldOptions, client: object | undefined) {
    const pool = client === undefined || options.databaseUrl !== undefined ? undefined : poolOf(client);
    this.world = assembleWorld(resolveOptions(options, pool !== undefined), loadKit(), pool);
    shareWorld(this.world);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.world.start();
  }

  /**
   * Lets deliveries end while the application still answers requests. They write by the kit's
   * World, so the World stays shared until they have ended.
   */
  async beforeApplicationShutdown(): Promise<void> {
    await this.world.close().finally(() => unshareWorld(this.world));
  }
}

/**
 * Module with the World of the process: the kit's runtime uses it when `WORKFLOW_TARGET_WORLD` is
 * `nestjs-durable/world`. Starts the World after the application has booted, and closes it at the
 * shutdown. Without `databaseUrl`, the World shares the pool of WorkflowModule.
 *
 * The class has no decorator of Nest, so that an application without Nest can load this entry.
 *
 * @example
 * @Module({ imports: [WorkflowModule.forRoot({}), WorldModule.forRoot()] })
 * export class AppModule {}
 */
export class WorldModule {
  /**
   * Defines the module.
   *
   * @param options options of the World (default: from the environment)
   * @returns the dynamic module
   * @throws InvalidInputError and WorkflowConfigurationError while the application boots
   * @example WorldModule.forRoot({ deploymentId: 'production' })
   */
  static forRoot(options: WorldOptions = {}): DynamicModule {
    return WorldModule.forRootAsync({ useFactory: () => options });
  }

  /**
   * Defines the module with options that other providers supply.
   *
   * @param options factory of the options, and its dependencies
   * @returns the dynamic module
   * @throws InvalidInputError and WorkflowConfigurationError while the application boots
   * @example
   * WorldModule.forRootAsync({
   *   inject: [ConfigService],
   *   useFactory: (config: ConfigService) => ({ databaseUrl: config.get('DATABASE_URL') }),
   * })
   */
  static forRootAsync({ imports = [], inject = [], useFactory }: WorldModuleAsyncOptions): DynamicModule {
    return {
      module: WorldModule,
      global: true,
      imports,
      providers: [
        { provide: WORLD_OPTIONS, inject, useFactory: useFactory as FactoryProvider['useFactory'] },
        {
          provide: WORLD_HOST,
          inject: [WORLD_OPTIONS, { token: CLIENT, optional: true }],
          useFactory: (options: WorldOptions, client?: object) => new WorldHost(options, client),
        },
        { provide: WORLD, inject: [WORLD_HOST], useFactory: ({ world }: WorldHost) => world },
      ],
      exports: [WORLD],
    };
  }
}
