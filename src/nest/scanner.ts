import { Scope } from '@nestjs/common';
import type { DiscoveryService, ModuleRef } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import type { Warn } from '../core/log-fields.js';
import { toRetryPolicy } from '../core/retry-policy.js';
import { hasWorkflowMetadata, workflowIdentityOf } from '../core/workflow-metadata.js';
import type { WorkflowContext } from '../engine/workflow-context.js';
import type { FoundWorkflow } from '../host/found-workflow.js';
import { injectableOptionsOf } from './decorators/injectable-options.js';
import { InstancePerPass, type WorkflowInstance } from './instance-per-pass.js';
import type { ModuleSettings } from './options/options.js';
import { guardSharedState } from '../host/shared-state.js';
import { createNameRegistry } from './steps/step-names.js';
import type { StepEnhancers } from './steps/step-enhancers.js';

/** Module whose workflows `findWorkflows` finds. */
export interface ScanningModule {
  readonly name: string | undefined;
  readonly settings: ModuleSettings;
  readonly moduleRef: ModuleRef;
  readonly enhancers: StepEnhancers | undefined;
  readonly warn: Warn;
}

/**
 * Finds a module's workflows among the application's providers.
 *
 * @throws WorkflowConfigurationError when a workflow cannot be executed: its name and version are
 *   used twice, `run` is missing, its scope is transient, or an option is invalid
 */
export function findWorkflows(discovery: DiscoveryService, module: ScanningModule): FoundWorkflow[] {
  const found = new Map<string, { type: Function; workflow: FoundWorkflow }>();
  for (const wrapper of discovery.getProviders()) {
    const type = typeOf(wrapper);
    if (!hasWorkflowMetadata(type) || workflowIdentityOf(type).module !== module.name) continue;
    // Skip an alias of a workflow. An alias whose token is the workflow class itself replaces the
    // workflow, and is not skipped.
    if (wrapper.isAlias && wrapper.token !== type) continue;
    if (wrapper.isTransient)
      throw new WorkflowConfigurationError(
        `${type.name} is transient: all runs of a workflow share one instance; use Scope.REQUEST for an instance per pass`,
      );
    const workflow = toWorkflow(type, wrapper, module);
    const { name, version } = workflow.definition;
    const other = found.get(`${name}\n${version}`);
    if (other && other.type !== type) {
      throw new WorkflowConfigurationError(
        `${other.type.name} and ${type.name} are both workflow "${name}" version ${version}: change the name or version of one`,
      );
    }
    if (!other) found.set(`${name}\n${version}`, { type, workflow });
  }
  return [...found.values()].map(({ workflow }) => workflow);
}

/**
 * Finds workflows that no module of the application executes, because the module to which they are
 * assigned is not imported.
 */
export function findUnassignedWorkflows(
  discovery: DiscoveryService,
  modules: readonly (string | undefined)[],
): { type: Function; module: string | undefined }[] {
  const unassigned = new Map<Function, string | undefined>();
  for (const wrapper of discovery.getProviders()) {
    const type = typeOf(wrapper);
    if (!hasWorkflowMetadata(type)) continue;
    const { module } = workflowIdentityOf(type);
    if (!modules.includes(module)) unassigned.set(type, module);
  }
  return [...unassigned].map(([type, module]) => ({ type, module }));
}

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

function typeOf(wrapper: Wrapper): Function | undefined {
  // The token identifies the workflow even if a test has replaced the instance by something else.
  if (typeof wrapper.token === 'function' && hasWorkflowMetadata(wrapper.token)) return wrapper.token;
  if (typeof wrapper.metatype === 'function' && hasWorkflowMetadata(wrapper.metatype)) return wrapper.metatype;
  // Read the instance only if a factory created it or it was provided as a value. Any other
  // instance may be a proxy, and reading it may fail.
  const instance = wrapper.isNotMetatype || wrapper.inject ? (wrapper.instance as object | null | undefined) : undefined;
  return typeof instance === 'object' && instance !== null ? instance.constructor : undefined;
}

/**
 * Checks that a workflow with `Scope.REQUEST` has a separate instance for each execution, because
 * its runs must not share fields.
 *
 * @throws WorkflowConfigurationError
 */
function checkScope(type: Function, isPerPass: boolean, instance: unknown, where: string): void {
  const scope = workflowIdentityOf(type).scope as Scope | undefined;
  const given = injectableOptionsOf(type)?.scope;
  if (scope === undefined) return;
  if (given !== undefined && given !== scope) {
    throw new WorkflowConfigurationError(
      `${where}: its scope is Scope.${Scope[scope]}, but that of @Injectable() is Scope.${Scope[given]}: remove one of them`,
    );
  }
  // A substitute for the workflow, such as a fake in a test, keeps the scope with which it was
  // provided. Such a substitute causes no error.
  if (scope !== Scope.REQUEST || isPerPass || !(instance instanceof type)) return;
  throw new WorkflowConfigurationError(
    `${where}: it requires Scope.REQUEST, but is provided as one instance for all runs. List the class itself among the providers, ` +
      'set scope: Scope.REQUEST beside useFactory, or put @Injectable({ scope: Scope.REQUEST }) on the class of useClass',
  );
}

function toWorkflow(type: Function, wrapper: Wrapper, module: ScanningModule): FoundWorkflow {
  const { settings, enhancers } = module;
  const where = `@Workflow() on ${type.name}`;
  const { name, version, queue, retry, compensation, timeoutMs, retention, subscriptions, batch } = workflowIdentityOf(type);
  const isPerPass = !wrapper.isDependencyTreeStatic();
  const instance = isPerPass ? undefined : (wrapper.instance as WorkflowInstance);
  checkScope(type, isPerPass, instance, where);
  const runner = (isPerPass ? type.prototype : instance) as Partial<WorkflowInstance> | null | undefined;
  if (typeof runner?.run !== 'function') {
    const what = isPerPass || runner instanceof type ? 'the class' : 'its provider';
    throw new WorkflowConfigurationError(`${where}: ${what} has no method run(input, ctx)`);
  }
  const identity = {
    name,
    version,
    queue,
    retry: toRetryPolicy(retry, settings.retry, `${where}: retry`),
    compensation,
    ...(batch && { isBatch: true }),
    stepTimeoutMs: settings.stepTimeoutMs,
    longestStepMs: settings.longestStepMs,
    runTimeoutMs: timeoutMs ?? settings.runTimeoutMs,
    owns: (target: unknown) =>
      typeof target === 'object' && target !== null && (target === instance || type.prototype.isPrototypeOf(target)),
    claimName: createNameRegistry(name),
  };
  const source = [...new Set([type, wrapper.metatype])]
    .map((code) => (typeof code === 'function' ? Function.prototype.toString.call(code) : ''))
    .join('\n');
  if (!instance) {
    const maker = new InstancePerPass({ ...identity, type }, wrapper.token, module.moduleRef, enhancers, module.warn);
    return { definition: { ...identity, maker }, type, source, retention, subscriptions };
  }
  const invoke = guardSharedState(instance, (input: unknown, context: WorkflowContext) => instance.run(input, context));
  const definition = { ...identity, invoke, ...(enhancers ? { interceptor: enhancers } : {}) };
  return { definition, type, source, retention, subscriptions };
}
