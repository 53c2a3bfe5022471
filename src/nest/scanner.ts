import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { toRetryPolicy } from '../core/retry-policy.js';
import { hasWorkflowMetadata, workflowIdentityOf } from '../core/workflow-metadata.js';
import type { WorkflowContext } from '../engine/workflow-context.js';
import type { WorkflowDefinition } from '../engine/ports.js';
import type { ModuleSettings } from './options.js';
import { guardSharedState } from './shared-state.js';

interface WorkflowInstance {
  run(input: unknown, context: WorkflowContext): Promise<unknown>;
}

/** A workflow that was found among the providers. */
export interface FoundWorkflow {
  readonly definition: WorkflowDefinition;
  /** The text of its class: part of what tells deployments apart. */
  readonly source: string;
}

/**
 * Finds the workflows among the application's providers.
 *
 * @throws WorkflowConfigurationError when one cannot work: two of a name and version, no `run`, request scope, bad options
 */
export function findWorkflows(discovery: DiscoveryService, settings: ModuleSettings): FoundWorkflow[] {
  const found = new Map<string, { type: Function; workflow: FoundWorkflow }>();
  for (const wrapper of discovery.getProviders()) {
    const type = typeOf(wrapper);
    if (!hasWorkflowMetadata(type)) continue;
    if (!wrapper.isDependencyTreeStatic()) {
      throw new WorkflowConfigurationError(`${type.name} is request-scoped, or depends on something that is: workflows have no request`);
    }
    if (wrapper.isTransient) throw new WorkflowConfigurationError(`${type.name} is transient: all runs of a workflow share one instance`);
    const workflow = toWorkflow(type, wrapper.instance as WorkflowInstance, settings);
    const { name, version } = workflow.definition;
    const other = found.get(`${name}\n${version}`);
    if (other && other.type !== type) {
      throw new WorkflowConfigurationError(
        `${other.type.name} and ${type.name} are both workflow "${name}" version ${version}: give one another name or version`,
      );
    }
    if (!other) found.set(`${name}\n${version}`, { type, workflow });
  }
  return [...found.values()].map(({ workflow }) => workflow);
}

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

function typeOf(wrapper: Wrapper): Function | undefined {
  if (typeof wrapper.metatype === 'function' && hasWorkflowMetadata(wrapper.metatype)) return wrapper.metatype;
  // Made by a factory, or given as a value. Merely looking at an instance may fail where it is a proxy.
  const instance = wrapper.isNotMetatype || wrapper.inject ? (wrapper.instance as object | null | undefined) : undefined;
  return typeof instance === 'object' && instance !== null ? instance.constructor : undefined;
}

function toWorkflow(type: Function, instance: WorkflowInstance, settings: ModuleSettings): FoundWorkflow {
  const where = `@Workflow() on ${type.name}`;
  const { name, version, queue, retry } = workflowIdentityOf(type);
  if (typeof instance?.run !== 'function') throw new WorkflowConfigurationError(`${where}: the class has no method run(input, ctx)`);
  const definition: WorkflowDefinition = {
    name,
    version,
    queue,
    retry: toRetryPolicy(retry, settings.retry, `${where}: retry`),
    stepTimeoutMs: settings.stepTimeoutMs,
    owns: (target) => typeof target === 'object' && target !== null && (target === instance || type.prototype.isPrototypeOf(target)),
    invoke: guardSharedState(instance, (input: unknown, context: WorkflowContext) => instance.run(input, context)),
  };
  return { definition, source: Function.prototype.toString.call(type) };
}
