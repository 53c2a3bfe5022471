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
import { afterBootstrap } from './after-bootstrap.js';
import { NO_WORKFLOWS, startingOnlyLine } from '../host/boot-lines.js';
import { FirstToStop } from './first-to-stop.js';
import { defineModule } from './module-definition.js';
import type { WorkflowModuleAsyncOptions, WorkflowOptionsFactory } from './options/module-types.js';
import { checkAsyncOptions, readOptions } from './options/module-arguments.js';
import type { WorkflowModuleOptions, WorkflowModuleExtras } from './options/options.js';
import { WorkflowRuntime } from '../host/runtime.js';
import type { FoundWorkflow } from '../host/found-workflow.js';
import { runtimesOf, scanApplication } from './scan-application.js';
import { openEndpoint } from './http/qstash-endpoint.js';
import { exitBy, noteShutdown, watchSignals } from '../host/shutdown-signals.js';
import { BEGINS_WORKER, getWorkflowOptionsToken, WORKFLOW_RUNTIME } from './tokens.js';

/** Milliseconds between the start of the worker and the check that shutdown hooks are enabled. */
const HOOKS_CHECK_MS = 5_000;

/**
 * Milliseconds after which the module warns that no worker has started. The cause is either a slow
 * boot, or an application that does not listen for HTTP requests.
 */
const IDLE_CHECK_MS = 5_000;

const WITHOUT_OPTIONS =
  'WorkflowModule was imported without its options: import WorkflowModule.forRoot({ ... }) or forRootAsync({ ... }) once, in the root module. ' +
  'It is global, so other modules need not import it';

/**
 * Module for durable workflows. Import it once, list classes with `@Workflow` among your providers,
 * and inject WorkflowClient.
 *
 * @example
 * @Module({
 *   imports: [TypeOrmModule.forRoot({ ... }), WorkflowModule.forRoot({})],
 *   providers: [OrderWorkflow],
 * })
 * export class AppModule {}
 */
@Module({ imports: [DiscoveryModule] })
export class WorkflowModule
  implements NestModule, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  /**
   * Mark of this class and its subclasses. A module class into which the result of `forRoot()` was
   * spread lacks the mark. The boot refuses that class, because it starts no worker.
   */
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
   * Defines the module with fixed options.
   *
   * @param options options of the module (default: the application's DataSource, see each option)
   * @throws InvalidInputError at once for `name`, `isGlobal`, `dataSource` and `http`; for the
   *   other options, while the application boots
   * @throws WorkflowConfigurationError, SchemaMismatchError while the application boots
   * @example WorkflowModule.forRoot({ worker: { concurrency: 20 } })
   */
  static forRoot(options: WorkflowModuleExtras & WorkflowModuleOptions = {}): DynamicModule {
    const { structure, rest } = readOptions(options);
    const provider = { provide: getWorkflowOptionsToken(structure.name), useValue: rest };
    return { module: WorkflowModule, ...defineModule(structure, provider) };
  }

  /**
   * Defines the module with options that other providers supply.
   *
   * @param options `useFactory` with `inject`, `useClass` or `useExisting`, and the options that
   *   are fixed when the module is defined
   * @throws InvalidInputError naming an invalid argument; for the options that the factory returns,
   *   while the application boots
   * @example
   * WorkflowModule.forRootAsync({
   *   inject: [ConfigService],
   *   useFactory: (config: ConfigService) => ({ schema: config.get('SCHEMA') }),
   * })
   */
  static forRootAsync(options: WorkflowModuleAsyncOptions): DynamicModule {
    const { structure, imports = [], inject = [], useFactory, useClass, useExisting } = checkAsyncOptions(options);
    const provide = getWorkflowOptionsToken(structure.name);
    const define = (provider: Provider, more: Provider[] = []): DynamicModule => ({
      module: WorkflowModule,
      ...defineModule(structure, provider, more, imports),
    });
    if (useFactory) return define({ provide, inject, useFactory: useFactory as FactoryProvider['useFactory'] });
    const factory = useClass ?? useExisting;
    if (!factory) throw new InvalidInputError('options', 'must have useFactory, useClass or useExisting');
    const create = (source: WorkflowOptionsFactory) => source.createWorkflowOptions();
    return define({ provide, inject: [factory], useFactory: create }, useClass ? [useClass] : []);
  }

  /**
   * Opens the QStash endpoint before Nest creates the routes of the application, because a route of
   * the application might match every address.
   */
  configure(): void {
    const { runtime, httpHost } = this;
    const isReceiver = runtime.qstash !== undefined && runtime.http.qstash && runtime.settings.workerStart !== 'never';
    if (isReceiver && httpHost.httpAdapter) openEndpoint(httpHost.httpAdapter, runtime);
  }

  /**
   * Finds the workflows, and starts the worker after the whole application has booted. Nest does
   * not announce a failed boot, so resources that are open by then stay open. Everything that keeps
   * the process alive or executes runs therefore starts last. Before that, there are only idle
   * connection pools, which do not keep the process alive.
   */
  async onApplicationBootstrap(): Promise<void> {
    const { contexts, discovery, moduleRef, modules, runtime } = this;
    const closeAll = async (): Promise<void> => {
      await Promise.all(runtimesOf(discovery).map((each) => each.close()));
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
      const workflows = scanApplication(runtime, { discovery, moduleRef, contexts, modules });
      runtime.retention.foundWorkflows(workflows);
      this.warnIfBootIsSlow(workflows.length);
      const begin = async (): Promise<void> => {
        clearTimeout(this.idleCheck);
        await runtime.listen();
        await this.start(workflows);
      };
      await afterBootstrap(modules, this, () => orClose(begin), closeAll);
    });
  }

  private async start(workflows: FoundWorkflow[]): Promise<void> {
    const { runtime } = this;
    const reason = this.whyNoWorker(workflows.length);
    if (reason !== undefined) {
      runtime.workers.idleBecause = reason;
      if (runtime.settings.workerStart === 'never') runtime.logger.log(startingOnlyLine(runtime, reason));
      else runtime.warn('starts-only', startingOnlyLine(runtime, reason));
      return;
    }
    await runtime.transactions.verifyAtBoot();
    if (runtime.settings.workerStart === 'boot' || runtime.settings.transport === 'qstash') {
      await runtime.workers.startAtBoot(workflows);
      this.expectShutdownHooks();
    } else {
      // Start the worker only when the application listens, because a step may call this
      // application over HTTP.
      runtime.workers.idleBecause = 'it has not listened for HTTP requests (app.listen())';
      this.warnIfNotListening();
      this.listening = this.httpHost.listen$.subscribe(() => {
        clearTimeout(this.idleCheck);
        void runtime.workers.startWhenPossible(workflows);
        this.expectShutdownHooks();
      });
    }
  }

  /**
   * Watches for a second shutdown signal, and checks after a delay that shutdown hooks are enabled.
   * The delay is needed with `createApplicationContext`, where the caller enables the hooks only
   * after the worker has started.
   */
  private expectShutdownHooks(): void {
    this.exitOnSecondSignal();
    this.hooksCheck = setTimeout(() => this.checkShutdownHooks(), HOOKS_CHECK_MS).unref();
  }

  /**
   * Warns when the boot takes long. The cause may be a deadlock: a hook waits for the result of a
   * run. The worker that executes the run starts only after the hook has ended.
   */
  private warnIfBootIsSlow(workflows: number): void {
    if (this.runtime.settings.workerStart !== 'boot' || this.whyNoWorker(workflows) !== undefined) return;
    this.warnWhenIdle(
      'the application has not booted yet: the worker starts after the last onApplicationBootstrap. A hook that waits for the result of a run would wait for ever',
    );
  }

  /**
   * Warns when the application does not listen for HTTP requests. The application may use an HTTP
   * server of its own after `app.init()`, or may be called without a server. Nest reports neither
   * case.
   */
  private warnIfNotListening(): void {
    this.warnWhenIdle(
      'the application has booted, but does not listen for HTTP requests (app.listen()). ' +
        'Set `worker: {}` to execute runs anyway, for example with a server of your own, or `worker: false` to only start runs',
    );
  }

  private warnWhenIdle(why: string): void {
    clearTimeout(this.idleCheck);
    this.idleCheck = setTimeout(() => this.runtime.warn('worker-idle', `worker: executes no run yet: ${why}`), IDLE_CHECK_MS).unref();
  }

  private whyNoWorker(workflows: number): string | undefined {
    const { workerStart, transport } = this.runtime.settings;
    if (workerStart === 'never') return 'its worker is off (`worker: false` or DURABLE_WORKER=off)';
    if (workflows === 0 && this.runtime.workers.listeners.length === 0) return NO_WORKFLOWS;
    if (workerStart === 'listening' && !this.httpHost.httpAdapter && transport !== 'qstash')
      return 'it does not listen for HTTP requests; set `worker: {}` to execute runs anyway';
    return undefined;
  }

  /** Stops the worker. Does nothing if FirstToStop has already stopped it. */
  onModuleDestroy(): Promise<void> {
    return this.stop();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.runtime.streams.endMessages();
    await this.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.runtime.close();
    // Stop watching signals. Nest now sends the signal to the process once more to end it, and a
    // signal with a listener would not end the process.
    this.unwatchSignals?.();
  }

  /**
   * Stops claiming runs at once, and resolves when no step body is being executed. A second call is
   * harmless: Nest 11 may call the hooks for two shutdowns at the same time.
   */
  private stop(): Promise<void> {
    this.listening?.unsubscribe();
    clearTimeout(this.hooksCheck);
    clearTimeout(this.idleCheck);
    noteShutdown();
    return this.runtime.workers.stop();
  }

  /**
   * Exits at a second signal. Nest ignores further signals while it closes the application, but the
   * sender of a second signal does not want to wait.
   */
  private exitOnSecondSignal(): void {
    this.unwatchSignals ??= watchSignals((signal) => {
      this.runtime.logger.line('warn', `module: received ${signal} again; exiting at once, which aborts running step bodies`, {
        code: 'second-signal',
      });
      exitBy(signal);
    });
  }

  private checkShutdownHooks(): void {
    if (process.listenerCount('SIGTERM') > 0 || process.env['NODE_ENV'] === 'test') return;
    this.runtime.warn(
      'shutdown-hooks-off',
      'module: shutdown hooks are off: call app.enableShutdownHooks(), otherwise a deploy interrupts running steps',
    );
  }
}
