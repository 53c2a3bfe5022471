import {
  Inject,
  Module,
  Optional,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type NestModule,
  type FactoryProvider,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type Provider,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ExternalContextCreator, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import type { Subscription } from 'rxjs';

import { clearTimeout, setTimeout } from '../core/timers.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { atEndOfBoot } from './after-bootstrap.js';
import { startingOnlyLine } from '../host/boot-lines.js';
import { checkSteps, someOf } from './decorated-steps.js';
import { EnhancerReach } from './enhancer-lookup.js';
import { FirstToStop } from './first-to-stop.js';
import { defineModule } from './module-definition.js';
import type { WorkflowModuleAsyncOptions, WorkflowOptionsFactory } from './module-types.js';
import { checkAsyncOptions, readOptions } from './module-arguments.js';
import type { WorkflowModuleOptions, WorkflowModuleExtras } from './options.js';
import { WorkflowRuntime } from '../host/runtime.js';
import { findUnassignedWorkflows, findWorkflows } from './scanner.js';
import type { FoundWorkflow } from '../host/found-workflow.js';
import { openEndpoint } from './qstash-endpoint.js';
import { exitBy, shutdownBegan, watchSignals } from './shutdown-signals.js';
import { StepEnhancers } from './step-enhancers.js';
import { prepareSteps } from './step-names.js';
import { BEGINS_WORKER, getWorkflowOptionsToken, moduleLabel, WORKFLOW_RUNTIME } from './tokens.js';

/** How long after the worker's start shutdown hooks must have been enabled. */
const HOOKS_CHECK_MS = 5_000;

/** How long the worker may be waited for before that is told: for the end of the boot, and after it for the application to listen. */
const IDLE_CHECK_MS = 5_000;

const WITHOUT_OPTIONS =
  'WorkflowModule was imported without its options: import WorkflowModule.forRoot({ ... }) or forRootAsync({ ... }) once, in the root module. ' +
  'It is global, so other modules need not import it';

/**
 * Durable workflows. Import it once, list classes with `@Workflow` among your providers, inject WorkflowClient.
 *
 * @example
 * @Module({ imports: [TypeOrmModule.forRoot({ ... }), WorkflowModule.forRoot({})], providers: [OrderWorkflow] })
 * export class AppModule {}
 */
@Module({ imports: [DiscoveryModule] })
export class WorkflowModule
  implements NestModule, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  /** Tells this class and those that extend it from a module into which `forRoot()` was spread. */
  static readonly [BEGINS_WORKER] = true;

  private readonly runtime: WorkflowRuntime;
  private listening: Subscription | undefined;
  private hooksCheck: NodeJS.Timeout | undefined;
  private idleCheck: NodeJS.Timeout | undefined;
  private unwatchSignals: (() => void) | undefined;

  /** @internal */
  constructor(
    @Optional() @Inject(WORKFLOW_RUNTIME) runtime: WorkflowRuntime | undefined,
    @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
    @Inject(HttpAdapterHost) private readonly httpHost: HttpAdapterHost,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
    @Inject(ExternalContextCreator) private readonly contexts: ExternalContextCreator,
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Optional() @Inject(FirstToStop) firstToStop: FirstToStop | undefined,
  ) {
    if (!runtime || !firstToStop) throw new WorkflowConfigurationError(WITHOUT_OPTIONS);
    this.runtime = runtime;
    firstToStop.add(() => this.stop());
  }

  /**
   * @throws (while the application boots) InvalidInputError naming an option that is not what it must be; WorkflowConfigurationError; SchemaMismatchError
   */
  static forRoot(options: WorkflowModuleExtras & WorkflowModuleOptions = {}): DynamicModule {
    const { structure, rest } = readOptions(options);
    const provider = { provide: getWorkflowOptionsToken(structure.name), useValue: rest };
    return { module: WorkflowModule, ...defineModule(structure, provider) };
  }

  /**
   * Like `forRoot`, with options that other providers give.
   *
   * @throws InvalidInputError naming an argument that is not what it must be; for the options themselves, while the application boots
   */
  static forRootAsync(options: WorkflowModuleAsyncOptions): DynamicModule {
    const { structure, imports = [], inject = [], useFactory, useClass, useExisting } = checkAsyncOptions(options);
    const provide = getWorkflowOptionsToken(structure.name);
    const made = (provider: Provider, more: Provider[] = []): DynamicModule => ({
      module: WorkflowModule,
      ...defineModule(structure, provider, more, imports),
    });
    if (useFactory) return made({ provide, inject, useFactory: useFactory as FactoryProvider['useFactory'] });
    const factory = useClass ?? useExisting;
    if (!factory) throw new InvalidInputError('options', 'must have useFactory, useClass or useExisting');
    const create = (source: WorkflowOptionsFactory) => source.createWorkflowOptions();
    return made({ provide, inject: [factory], useFactory: create }, useClass ? [useClass] : []);
  }

  /** Before the application's own routes are made, which might take every address. */
  configure(): void {
    const { runtime, httpHost } = this;
    const isReceiver = runtime.qstash !== undefined && runtime.http.qstash && runtime.settings.workerStart !== 'never';
    if (isReceiver && httpHost.httpAdapter) openEndpoint(httpHost.httpAdapter, runtime);
  }

  /**
   * Nest tells nobody when a boot fails, and what is open then stays open. So whatever keeps the process alive, or executes runs, begins when all of
   * the application has booted; until then there are idle pools, which let go of the process.
   */
  async onApplicationBootstrap(): Promise<void> {
    const { modules, runtime } = this;
    const closeAll = async (): Promise<void> => {
      await Promise.all(this.runtimes().map((each) => each.close()));
    };
    const orClose = async (boot: () => Promise<void>): Promise<void> => {
      try {
        await boot();
      } catch (error) {
        await closeAll();
        throw error;
      }
    };
    await orClose(async () => {
      const workflows = this.scan();
      this.expectBoot(workflows.length);
      const begin = async (): Promise<void> => {
        clearTimeout(this.idleCheck);
        await runtime.listen();
        await this.start(workflows);
      };
      await atEndOfBoot(modules, this, () => orClose(begin), closeAll);
    });
  }

  private async start(workflows: FoundWorkflow[]): Promise<void> {
    const { runtime } = this;
    const reason = this.whyNoWorker(workflows.length);
    if (reason !== undefined) {
      runtime.idleBecause = reason;
      if (runtime.settings.workerStart === 'never') runtime.logger.log(startingOnlyLine(reason));
      else runtime.warn(startingOnlyLine(reason));
    } else if (runtime.settings.workerStart === 'boot' || runtime.settings.transport === 'qstash') {
      await runtime.startWorkerAtBoot(workflows);
      this.expectShutdownHooks();
    } else {
      // Not before: a step may call this very application.
      runtime.idleBecause = 'it has not listened for HTTP requests (app.listen())';
      this.expectToListen();
      this.listening = this.httpHost.listen$.subscribe(() => {
        clearTimeout(this.idleCheck);
        void runtime.startWorkerWhenPossible(workflows);
        this.expectShutdownHooks();
      });
    }
  }

  /** Those of all modules of the application. */
  private runtimes(): WorkflowRuntime[] {
    return this.discovery
      .getProviders()
      .flatMap(({ token, instance }) => (token === WORKFLOW_RUNTIME ? [instance as WorkflowRuntime] : []));
  }

  private scan(): FoundWorkflow[] {
    const { runtime, discovery, moduleRef } = this;
    const { name, settings } = runtime;
    const reach = settings.enhancers.length === 0 ? undefined : new EnhancerReach(this.contexts, this.modules, settings.enhancers);
    const enhancers = reach && new StepEnhancers(this.contexts, reach, undefined);
    const warn = (message: string, error?: unknown): void => runtime.warn(message, error);
    const runtimes = this.runtimes();
    // One of several modules speaks for the application.
    const isFirst = runtimes[0] === runtime;
    prepareSteps(discovery, isFirst ? warn : () => undefined);
    const workflows = findWorkflows(discovery, { name, settings, moduleRef, enhancers, warn });
    reach?.check(discovery, workflows);
    const orphans = checkSteps(discovery);
    if (!isFirst) return workflows;
    for (const stray of findUnassignedWorkflows(
      discovery,
      runtimes.map((module) => module.name),
    ))
      warn(`${stray.type.name} belongs to ${moduleLabel(stray.module)}, which is not imported here: this process does not execute it`);
    // Test modules seldom have all providers, and load more classes than they use.
    if (orphans.length > 0 && workflows.length > 0 && process.env['NODE_ENV'] !== 'test')
      warn(`@Step() on ${someOf(orphans)}: not among the providers, so only instances that are made by hand can be called`);
    return workflows;
  }

  /** Later: an application context is given to its maker, who enables them, only after the worker has begun. */
  private expectShutdownHooks(): void {
    this.exitOnSecondSignal();
    this.hooksCheck = setTimeout(() => this.checkShutdownHooks(), HOOKS_CHECK_MS).unref();
  }

  /** A hook may wait for the result of a run, which waits for the worker, which waits for the hook. */
  private expectBoot(workflows: number): void {
    if (this.runtime.settings.workerStart !== 'boot' || this.whyNoWorker(workflows) !== undefined) return;
    this.warnWhenIdle(
      'the application has not booted yet: the worker begins after the last onApplicationBootstrap. If one of them waits for the result of a run, it waits in vain',
    );
  }

  /** `app.init()` with a server of one's own, or with what asks the application without one: Nest tells us of neither. */
  private expectToListen(): void {
    this.warnWhenIdle(
      'the application has booted, and has not listened for HTTP requests (app.listen()). ' +
        'Say `worker: {}` to execute runs all the same, as with a server of your own, or `worker: false` to only start them',
    );
  }

  private warnWhenIdle(why: string): void {
    clearTimeout(this.idleCheck);
    this.idleCheck = setTimeout(() => this.runtime.warn(`nothing is executed yet: ${why}`), IDLE_CHECK_MS).unref();
  }

  private whyNoWorker(workflows: number): string | undefined {
    const { workerStart, transport } = this.runtime.settings;
    if (workerStart === 'never') return 'its worker is off';
    if (workflows === 0) return 'no class with @Workflow of this module is among the providers';
    if (workerStart === 'listening' && !this.httpHost.httpAdapter && transport !== 'qstash')
      return 'it does not listen for HTTP requests; say `worker: {}` to execute runs all the same';
    return undefined;
  }

  /** Nothing is left to do in an application whose shutdown begins with FirstToStop. */
  onModuleDestroy(): Promise<void> {
    return this.stop();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.runtime.close();
    // Nest ends the process by sending itself the signal once more.
    this.unwatchSignals?.();
  }

  /** Claims nothing from the first moment on, and resolves when no body is under way any more. Nest 11 may call hooks of two shutdowns at a time. */
  private stop(): Promise<void> {
    this.listening?.unsubscribe();
    clearTimeout(this.hooksCheck);
    clearTimeout(this.idleCheck);
    shutdownBegan();
    return this.runtime.stopWorker();
  }

  /** Nest ignores further signals while it closes; whoever sends a second one does not want to wait. */
  private exitOnSecondSignal(): void {
    this.unwatchSignals ??= watchSignals((signal) => {
      this.runtime.logger.warn(`${signal} again: exiting at once, and cutting off step bodies under way`);
      exitBy(signal);
    });
  }

  private checkShutdownHooks(): void {
    if (process.listenerCount('SIGTERM') > 0 || process.env['NODE_ENV'] === 'test') return;
    this.runtime.logger.warn('shutdown hooks are off: call app.enableShutdownHooks(), or a deploy cuts steps off in the middle');
  }
}
