import { Logger, type Provider, type Type } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef, NestFactory } from '@nestjs/core';

import { isPlainObject } from '../core/check-options.js';
import { InvalidInputError } from '../core/errors/index.js';
import { workflowIdentityOf } from '../core/workflow-metadata.js';
import type { WorkflowDefinition } from '../engine/ports.js';
import type { ModuleSettings } from '../host/settings.js';
import { toSettings } from './options/options.js';
import { findWorkflows } from './scanner.js';
import { prepareSteps } from './steps/step-names.js';

/** Classes and other providers of Nest, for workflows that are executed without a module. */
export type StandaloneProviders = readonly Provider[];

/** Workflows with their providers, without a module or a database. */
export interface StandaloneWorkflows {
  readonly definitions: readonly WorkflowDefinition[];
  /** The module's default settings. */
  readonly settings: ModuleSettings;
  /** Name of the module to which the workflow belongs. */
  readonly module: string | undefined;
  get(token: abstract new (...args: never[]) => unknown, options: { strict: false }): unknown;
  close(): Promise<void>;
}

class StandaloneModule {}

/**
 * Creates the instances of a workflow and its providers by dependency injection, and finds all
 * workflows among them.
 *
 * @throws the error of Nest when a provider is missing
 * @throws InvalidInputError when the providers are not an array of classes and provider objects
 * @throws WorkflowConfigurationError when a workflow cannot be executed
 */
export async function loadWorkflows(workflow: Type, providers: StandaloneProviders): Promise<StandaloneWorkflows> {
  const { module } = workflowIdentityOf(workflow);
  checkProviders(providers);
  const settings = toSettings({}, {});
  const hasOwn = providers.some((provider) => provider === workflow || (provider as { provide?: unknown }).provide === workflow);
  const dynamicModule = {
    module: StandaloneModule,
    imports: [DiscoveryModule],
    providers: [...providers, ...(hasOwn ? [] : [workflow])],
  };
  const context = await silently(() => NestFactory.createApplicationContext(dynamicModule, { logger: false, abortOnError: false }));
  const discovery = context.get(DiscoveryService);
  const warn = (): void => undefined;
  prepareSteps(discovery, warn);
  const found = findWorkflows(discovery, { name: module, settings, moduleRef: context.get(ModuleRef), enhancers: undefined, warn });
  return {
    definitions: found.map(({ definition }) => definition),
    settings,
    module,
    get: (token, options) => context.get(token, options),
    close: () => silently(() => context.close()),
  };
}

function checkProviders(providers: unknown): void {
  if (!Array.isArray(providers)) throw new InvalidInputError('options.providers', 'must be an array');
  for (const [index, provider] of providers.entries()) {
    const isProvider = typeof provider === 'function' || (isPlainObject(provider) && 'provide' in provider);
    if (!isProvider) throw new InvalidInputError(`options.providers[${index}]`, 'must be a class, or an object with provide');
  }
}

/**
 * Restores Nest's logger after a call that has switched it off. The logger belongs to the whole
 * process.
 */
async function silently<T>(code: () => Promise<T>): Promise<T> {
  const { staticInstanceRef: before } = Logger as unknown as { staticInstanceRef?: Logger };
  try {
    return await code();
  } finally {
    if (before) Logger.overrideLogger(before);
  }
}
