import type { DynamicModule, ModuleMetadata, Provider } from '@nestjs/common';
import { DiscoveryModule, ApplicationConfig, DiscoveryService, HttpAdapterHost } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { WorkflowClient } from '../client/client.js';
import { durableEntities } from '../store/entities/index.js';
import { FirstToStopModule } from './first-to-stop.js';
import { dashboardController } from './http/dashboard-controller.js';
import { DashboardHandler } from './http/dashboard-handler.js';
import { HookHttpHandler } from './http/hook-http-handler.js';
import { metricsController, MetricsHandler } from './http/metrics-controller.js';
import { DurableHealthIndicator } from './health/durable-health-indicator.js';
import { hooksController } from './http/hooks-controller.js';
import { StreamHttpHandler } from './http/stream-http-handler.js';
import { streamsController } from './http/streams-controller.js';
import { takeHttp } from './options/module-arguments.js';
import type { ModuleStructure, WorkflowFactoryOptions } from './options/module-types.js';
import { clientsOfOtherCopies, refuseDataSourceOfOtherCopy } from './package-copies.js';
import { toSettings } from './options/options.js';
import { createRuntime } from '../host/create-runtime.js';
import type { WorkflowRuntime } from '../host/runtime.js';
import { ModuleLogger } from './module-logger.js';
import { SingletonCheck } from './singleton-check.js';
import {
  modulesAmong,
  getWorkflowClientToken,
  getWorkflowHealthIndicatorToken,
  getWorkflowOptionsToken,
  getWorkflowRepositoryToken,
  DASHBOARD_HANDLER,
  HOOK_RECEIVER,
  METRICS_HANDLER,
  moduleLabel,
  STREAM_ENDPOINT,
  WORKFLOW_RUNTIME,
} from './tokens.js';

/**
 * Builds the providers and exports of a module. The exported tokens contain the module's name. The
 * runtime and the hook receiver have the same token in each module, so no module exports them.
 *
 * @param options provider of the module's options
 * @param extraProviders providers that the provider of the options needs
 */
export function defineModule(
  { name, isGlobal = true, dataSource: dataSourceName, http: endpoints }: ModuleStructure,
  options: Provider,
  extraProviders: Provider[] = [],
  imports: NonNullable<ModuleMetadata['imports']> = [],
): Omit<DynamicModule, 'module'> {
  const optionsToken = getWorkflowOptionsToken(name);
  const clientToken = getWorkflowClientToken(name);
  const runtime: Provider = {
    provide: WORKFLOW_RUNTIME,
    inject: [optionsToken, DiscoveryService, { token: getDataSourceToken(dataSourceName), optional: true }],
    useFactory: (given: WorkflowFactoryOptions, discovery: DiscoveryService, dataSource?: DataSource) => {
      checkNames(discovery);
      const { options, http } = takeHttp(given, endpoints);
      const settings = toSettings(options, process.env, http);
      if (dataSourceName !== undefined && !dataSource && !settings.connection) {
        throw new WorkflowConfigurationError(`there is no TypeORM DataSource "${dataSourceName}"`);
      }
      if (!dataSource && !settings.connection) refuseDataSourceOfOtherCopy(discovery);
      const logger = new ModuleLogger(name === undefined ? 'WorkflowModule' : `WorkflowModule:${name}`);
      return createRuntime({ name, http, logger }, settings, dataSource);
    },
  };
  const client = { inject: [WORKFLOW_RUNTIME], useFactory: (instance: WorkflowRuntime) => instance.client };
  // In the module without a name, the class WorkflowClient is a token too. The client's other
  // tokens are aliases of the class, so a test that overrides the class overrides the client
  // everywhere.
  const clientClasses = name === undefined ? [WorkflowClient, ...clientsOfOtherCopies()] : [];
  const clients: Provider[] =
    name === undefined
      ? [
          { provide: WorkflowClient, ...client },
          ...[clientToken, ...clientClasses.slice(1)].map((provide) => ({ provide, useExisting: WorkflowClient })),
        ]
      : [{ provide: clientToken, ...client }];
  const receiver: Provider = {
    provide: HOOK_RECEIVER,
    inject: [WORKFLOW_RUNTIME, DiscoveryService, HttpAdapterHost],
    useFactory: (instance: WorkflowRuntime, discovery: DiscoveryService, host: HttpAdapterHost) =>
      new HookHttpHandler(instance, discovery, host),
  };
  const metricsHandler: Provider = {
    provide: METRICS_HANDLER,
    inject: [WORKFLOW_RUNTIME, DiscoveryService],
    useFactory: (instance: WorkflowRuntime, discovery: DiscoveryService) =>
      new MetricsHandler(instance.client, endpoints.metrics!.path, discovery),
  };
  const streams: Provider = {
    provide: STREAM_ENDPOINT,
    inject: [WORKFLOW_RUNTIME, DiscoveryService],
    useFactory: (instance: WorkflowRuntime, discovery: DiscoveryService) => new StreamHttpHandler(instance, discovery),
  };
  const dashboard: Provider = {
    provide: DASHBOARD_HANDLER,
    inject: [WORKFLOW_RUNTIME, DiscoveryService, ApplicationConfig],
    useFactory: (instance: WorkflowRuntime, discovery: DiscoveryService, config: ApplicationConfig) =>
      new DashboardHandler(instance, endpoints.dashboard!, discovery, config),
  };
  const healthToken = getWorkflowHealthIndicatorToken(name);
  const health: Provider[] = [
    { provide: healthToken, inject: [WORKFLOW_RUNTIME], useFactory: (instance: WorkflowRuntime) => new DurableHealthIndicator(instance) },
    ...(name === undefined ? [{ provide: DurableHealthIndicator, useExisting: healthToken }] : []),
  ];
  const controllers = [
    ...(endpoints.hooks ? [hooksController(endpoints, endpoints.hooks)] : []),
    ...(endpoints.streams ? [streamsController(endpoints, endpoints.streams)] : []),
    ...(endpoints.metrics ? [metricsController(endpoints.metrics)] : []),
    ...(endpoints.dashboard?.isOpen ? [dashboardController(endpoints, endpoints.dashboard)] : []),
  ];
  const handlers = [
    ...(endpoints.hooks ? [receiver] : []),
    ...(endpoints.streams ? [streams] : []),
    ...(endpoints.metrics ? [metricsHandler] : []),
    ...(endpoints.dashboard ? [dashboard] : []),
  ];
  const repositories = durableEntities.map((entity) => ({
    provide: getWorkflowRepositoryToken(entity, name),
    inject: [WORKFLOW_RUNTIME],
    useFactory: (instance: WorkflowRuntime) => instance.orm.getRepository<object>(entity),
  }));
  return {
    global: isGlobal,
    controllers,
    imports: [DiscoveryModule, FirstToStopModule, ...imports],
    providers: [SingletonCheck, options, ...extraProviders, runtime, ...clients, ...repositories, ...health, ...handlers],
    exports: [
      clientToken,
      healthToken,
      ...(name === undefined ? [DurableHealthIndicator] : []),
      ...clientClasses,
      ...repositories.map(({ provide }) => provide),
    ],
  };
}

/**
 * Refuses two modules with the same name before any module connects to the database. Each would
 * have a worker, and it would be unclear which of the two clients is injected.
 */
function checkNames(discovery: DiscoveryService): void {
  const names = modulesAmong(discovery.getProviders().map(({ token }) => token));
  const repeated = names.findIndex((one, index) => names.indexOf(one) !== index);
  if (repeated === -1) return;
  const name = names[repeated];
  const times = names.filter((one) => one === name).length;
  const advice = name === undefined ? 'it is global; import it once, or give the others a `name`' : 'give each its own `name`';
  throw new WorkflowConfigurationError(`${moduleLabel(name)} is imported ${times} times: ${advice}`);
}
