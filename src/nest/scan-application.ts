import type { DiscoveryService, ExternalContextCreator, ModuleRef, ModulesContainer } from '@nestjs/core';

import type { Warn } from '../core/log-fields.js';
import { newestClasses, type FoundWorkflow } from '../host/found-workflow.js';
import { listenerWorkflows } from '../host/listener-host.js';
import type { WorkflowRuntime } from '../host/runtime.js';
import { checkSteps, listSome } from './steps/decorated-steps.js';
import { EnhancerLookup } from './steps/enhancer-lookup.js';
import { hasTransactionalSteps } from './steps/transactional-steps.js';
import { findListeners } from './listener-scanner.js';
import { findUnassignedWorkflows, findWorkflows } from './scanner.js';
import { findSchedules } from './schedule-scanner.js';
import { StepEnhancers } from './steps/step-enhancers.js';
import { prepareSteps } from './steps/step-names.js';
import { moduleLabel, WORKFLOW_RUNTIME } from './tokens.js';

/** Services of Nest that are used to examine the providers of an application. */
export interface NestServices {
  readonly discovery: DiscoveryService;
  readonly moduleRef: ModuleRef;
  readonly contexts: ExternalContextCreator;
  readonly modules: ModulesContainer;
}

/** Returns the runtimes of all modules of the application. */
export function runtimesOf(discovery: DiscoveryService): WorkflowRuntime[] {
  return discovery.getProviders().flatMap(({ token, instance }) => (token === WORKFLOW_RUNTIME ? [instance as WorkflowRuntime] : []));
}

/**
 * Finds the workflows of one module, prepares the steps of all providers, and warns about workflows
 * and steps that no code will execute.
 *
 * @throws WorkflowConfigurationError
 */
export function scanApplication(runtime: WorkflowRuntime, nest: NestServices): FoundWorkflow[] {
  const { discovery, moduleRef, contexts, modules } = nest;
  const { name, settings } = runtime;
  const lookup = settings.enhancers.length === 0 ? undefined : new EnhancerLookup(contexts, modules, settings.enhancers);
  const enhancers = lookup && new StepEnhancers(contexts, lookup, undefined);
  const warn: Warn = (code, message, error, fields) => runtime.warn(code, message, error, fields);
  const runtimes = runtimesOf(discovery);
  // Warnings about the whole application are logged by its first module only.
  const isFirst = runtimes[0] === runtime;
  prepareSteps(discovery, isFirst ? warn : () => undefined);
  const listeners = (runtime.workers.listeners = findListeners(discovery, name));
  const workflows = findWorkflows(discovery, { name, settings, moduleRef, enhancers, warn });
  for (const [workflow, type] of newestClasses(workflows)) runtime.workflowClasses.set(workflow, type);
  runtime.workers.declaredSchedules = findSchedules(workflows, Date.now());
  runtime.transactions.areUsed = hasTransactionalSteps(discovery, name, runtimes.length);
  workflows.push(...listenerWorkflows(listeners, settings));
  lookup?.check(discovery, workflows);
  const uncallable = checkSteps(discovery);
  if (!isFirst) return workflows;
  const names = runtimes.map((module) => module.name);
  for (const { type, module } of findUnassignedWorkflows(discovery, names))
    warn(
      'module-not-imported',
      `module: ${type.name} belongs to ${moduleLabel(module)}, which is not imported; this process does not execute it`,
    );
  // No warning in tests, because test modules often leave providers out and load more classes than
  // they use.
  if (uncallable.length > 0 && workflows.length > 0 && process.env['NODE_ENV'] !== 'test')
    warn(
      'class-not-provided',
      `module: @Step() on ${listSome(uncallable)}: the class is not among the providers, so only instances created by hand have these steps`,
    );
  return workflows;
}
