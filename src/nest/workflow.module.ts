import { constants } from 'node:os';

import {
  Inject,
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type FactoryProvider,
  type InjectionToken,
  type ModuleMetadata,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OptionalFactoryDependency,
  type Provider,
  type Type,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, HttpAdapterHost } from '@nestjs/core';
import { getDataSourceToken, getRepositoryToken } from '@nestjs/typeorm';
import type { Subscription } from 'rxjs';
import type { DataSource } from 'typeorm';

import { checkNamedOptions, isPlainObject, keysOf } from '../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { WorkflowClient } from '../client/client.js';
import { checkText } from '../core/ids.js';
import { durableEntities } from '../store/entities/index.js';
import { toSettings, type WorkflowModuleOptions, type WorkflowModuleStructure } from './options.js';
import { WorkflowRuntime } from './runtime.js';
import { findWorkflows } from './scanner.js';
import { getWorkflowClientToken, WORKFLOW_OPTIONS, WORKFLOW_RUNTIME } from './tokens.js';

/** How long after the worker's start shutdown hooks must have been enabled. */
const HOOKS_CHECK_MS = 5_000;

/** Makes the module's options, for `useClass` and `useExisting`. */
export interface WorkflowOptionsFactory {
  createWorkflowOptions(): WorkflowModuleOptions | Promise<WorkflowModuleOptions>;
}

/** Where the options come from when they are not known while the module is defined. */
export interface WorkflowModuleAsyncOptions extends WorkflowModuleStructure, Pick<ModuleMetadata, 'imports'> {
  useFactory?: (...args: never[]) => WorkflowModuleOptions | Promise<WorkflowModuleOptions>;
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  useClass?: Type<WorkflowOptionsFactory>;
  useExisting?: Type<WorkflowOptionsFactory>;
}

/**
 * Durable workflows. Import it once, list classes with `@Workflow` among your providers, inject WorkflowClient.
 *
 * @example
 * @Module({ imports: [TypeOrmModule.forRoot({ ... }), WorkflowModule.forRoot({})], providers: [OrderWorkflow] })
 * export class AppModule {}
 */
@Module({})
export class WorkflowModule implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private listening: Subscription | undefined;
  private hooksCheck: NodeJS.Timeout | undefined;
  private secondSignal: { readonly signal: NodeJS.Signals; readonly exit: () => never } | undefined;

  /** @internal */
  constructor(
    @Inject(WORKFLOW_RUNTIME) private readonly runtime: WorkflowRuntime,
    @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
    @Inject(HttpAdapterHost) private readonly httpHost: HttpAdapterHost,
  ) {}

  /**
   * @throws (while the application boots) InvalidInputError naming an option that is not what it must be; WorkflowConfigurationError; SchemaMismatchError
   */
  static forRoot(options: WorkflowModuleStructure & WorkflowModuleOptions = {}): DynamicModule {
    const { isGlobal, dataSource, ...rest } = readOptions(options);
    return define(checkStructure(isGlobal, dataSource), [], { provide: WORKFLOW_OPTIONS, useValue: rest });
  }

  /**
   * Like `forRoot`, with options that other providers give.
   *
   * @throws InvalidInputError naming an argument that is not what it must be; for the options themselves, while the application boots
   */
  static forRootAsync(options: WorkflowModuleAsyncOptions): DynamicModule {
    const given = checkNamedOptions(options, 'options', ASYNC_OPTIONS);
    const { imports = [], inject = [], useFactory, useClass, useExisting } = given;
    const structure = checkStructure(given.isGlobal, given.dataSource);
    if (!Array.isArray(imports)) throw new InvalidInputError('imports', 'must be an array');
    if (!Array.isArray(inject)) throw new InvalidInputError('inject', 'must be an array');
    for (const way of ['useFactory', 'useClass', 'useExisting'] as const) {
      if (given[way] !== undefined && typeof given[way] !== 'function')
        throw new InvalidInputError(way, `must be a ${way === 'useFactory' ? 'function' : 'class'}`);
    }
    if (useFactory)
      return define(structure, imports, { provide: WORKFLOW_OPTIONS, inject, useFactory: useFactory as FactoryProvider['useFactory'] });
    const factory = useClass ?? useExisting;
    if (!factory) throw new InvalidInputError('options', 'must have useFactory, useClass or useExisting');
    const made: Provider = {
      provide: WORKFLOW_OPTIONS,
      inject: [factory],
      useFactory: (source: WorkflowOptionsFactory) => source.createWorkflowOptions(),
    };
    return define(structure, imports, made, useClass ? [useClass] : []);
  }

  async onApplicationBootstrap(): Promise<void> {
    const { runtime } = this;
    const workflows = findWorkflows(this.discovery, runtime.settings);
    const modules = this.discovery.getProviders().filter(({ token }) => token === WORKFLOW_RUNTIME).length;
    if (modules > 1)
      runtime.warn(
        `WorkflowModule is imported ${modules} times, each with connections and a worker of its own; it is global, import it once`,
      );
    const reason = this.whyNoWorker(workflows.length);
    if (reason !== undefined) {
      runtime.logger.log(`this process starts runs and executes none: ${reason}`);
    } else if (runtime.settings.workerStart === 'boot') {
      await runtime.startWorker(workflows);
      this.expectShutdownHooks();
    } else {
      // Not before: a step may call this very application.
      this.listening = this.httpHost.listen$.subscribe(() => {
        void runtime.startWorkerWhenPossible(workflows);
        this.expectShutdownHooks();
      });
    }
  }

  /** Later: an application context is given to its maker, who enables them, only after the worker has begun. */
  private expectShutdownHooks(): void {
    this.hooksCheck = setTimeout(() => this.checkShutdownHooks(), HOOKS_CHECK_MS).unref();
  }

  private whyNoWorker(workflows: number): string | undefined {
    const { workerStart } = this.runtime.settings;
    if (workerStart === 'never') return 'its worker is off';
    if (workflows === 0) return 'no class with @Workflow is among the providers';
    if (workerStart === 'listening' && !this.httpHost.httpAdapter)
      return 'it does not listen; say `worker: {}` to execute runs all the same';
    return undefined;
  }

  async beforeApplicationShutdown(signal?: string): Promise<void> {
    this.listening?.unsubscribe();
    clearTimeout(this.hooksCheck);
    if (signal) this.exitOnSecond(signal as NodeJS.Signals);
    await this.runtime.stopWorker();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.runtime.close();
    // Nest ends the process by sending itself the signal once more.
    if (this.secondSignal) process.removeListener(this.secondSignal.signal, this.secondSignal.exit);
  }

  /** Nest ignores further signals while it closes; whoever sends a second one does not want to wait. */
  private exitOnSecond(signal: NodeJS.Signals): void {
    const exit = (): never => process.exit(128 + (constants.signals[signal] ?? 0));
    this.secondSignal = { signal, exit };
    process.once(signal, exit);
  }

  private checkShutdownHooks(): void {
    if (process.listenerCount('SIGTERM') > 0 || process.env['NODE_ENV'] === 'test') return;
    this.runtime.logger.warn('shutdown hooks are off: call app.enableShutdownHooks(), or a deploy cuts steps off in the middle');
  }
}

const ASYNC_OPTIONS = ['imports', 'inject', 'useFactory', 'useClass', 'useExisting', 'isGlobal', 'dataSource'];

/** A copy; which keys there may be is checked while the application boots. */
function readOptions<T extends object>(options: T): T {
  if (!isPlainObject(options)) throw new InvalidInputError('options', 'must be an object');
  // What is no option is left to be named; a copy could not hold `__proto__`.
  const known = keysOf(options, 'options').filter((key) => key !== '__proto__');
  return checkNamedOptions(options, 'options', known);
}

function checkStructure(isGlobal: unknown, dataSource: unknown): WorkflowModuleStructure {
  if (isGlobal !== undefined && typeof isGlobal !== 'boolean') throw new InvalidInputError('isGlobal', 'must be a boolean');
  return {
    ...(isGlobal === undefined ? {} : { isGlobal }),
    ...(dataSource === undefined ? {} : { dataSource: checkText(dataSource, 'dataSource') }),
  };
}

function define(
  structure: WorkflowModuleStructure,
  imports: NonNullable<ModuleMetadata['imports']>,
  options: Provider,
  more: Provider[] = [],
): DynamicModule {
  const runtime: Provider = {
    provide: WORKFLOW_RUNTIME,
    inject: [WORKFLOW_OPTIONS, { token: getDataSourceToken(structure.dataSource), optional: true }],
    useFactory: (given: WorkflowModuleOptions, dataSource?: DataSource) => {
      const settings = toSettings(given, process.env);
      if (structure.dataSource !== undefined && !dataSource && !settings.connection) {
        throw new WorkflowConfigurationError(`there is no TypeORM DataSource "${structure.dataSource}"`);
      }
      return WorkflowRuntime.create(settings, dataSource);
    },
  };
  const client: Provider = {
    provide: getWorkflowClientToken(),
    inject: [WORKFLOW_RUNTIME],
    useFactory: (made: WorkflowRuntime) => made.client,
  };
  const repositories: Provider[] = durableEntities.map((entity) => ({
    provide: getRepositoryToken(entity),
    inject: [WORKFLOW_RUNTIME],
    useFactory: (made: WorkflowRuntime) => made.orm.getRepository<object>(entity),
  }));
  return {
    module: WorkflowModule,
    global: structure.isGlobal ?? true,
    imports: [DiscoveryModule, ...imports],
    providers: [options, ...more, runtime, client, { provide: WorkflowClient, useExisting: getWorkflowClientToken() }, ...repositories],
    exports: [WorkflowClient, getWorkflowClientToken(), ...durableEntities.map((entity) => getRepositoryToken(entity))],
  };
}
