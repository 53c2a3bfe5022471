import type { DiscoveryService } from '@nestjs/core';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import { checkName } from '../core/ids.js';
import type { AnyRunEvent, RunListener } from '../core/run-events.js';
import { workflowIdentityOf } from '../core/workflow-metadata.js';
import { isWorkflowRef } from '../core/workflow-types.js';
import { listenersOf, type ListenerDeclaration } from './decorators/on-run-event.js';
import { classOf } from './decorators/step-declarations.js';
import { moduleLabel } from './tokens.js';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/** Method that the listeners of one name call. */
interface ListenerOwner {
  readonly type: Function | undefined;
  readonly method: string;
}

/**
 * Finds the methods with `@OnRunEvent` among the application's providers.
 *
 * @param module name of the module whose listeners are wanted
 * @throws WorkflowConfigurationError when a listener's provider is no singleton, when two classes
 *   or two methods have a listener with the same name, or when a method would receive an event
 *   twice
 */
export function findListeners(discovery: DiscoveryService, module: string | undefined): RunListener[] {
  const owners = new Map<string, ListenerOwner>();
  const found = new Map<string, RunListener>();
  for (const wrapper of discovery.getProviders()) {
    if (wrapper.isAlias) continue;
    const { target, type } = targetOf(wrapper);
    if (!target) continue;
    for (const declaration of listenersOf(target)) {
      if (declaration.options.module !== module) continue;
      const listener = toListener(target, type, declaration);
      if (wrapper.isTransient || !wrapper.isDependencyTreeStatic())
        throw new WorkflowConfigurationError(
          `@OnRunEvent() on ${listener.name}: its class is not a singleton, so no instance could be called; ` +
            'use the default scope, or a provider of its own for the listener',
        );
      refuseShared(listener, { type, method: declaration.method }, owners);
      if (!found.has(listener.key)) found.set(listener.key, listener);
    }
  }
  const listeners = [...found.values()];
  refuseRepeated(listeners);
  return listeners;
}

/**
 * Returns the object whose methods are called. The prototype stands for a provider that has no
 * instance yet, and shows that such a provider has listeners.
 */
function targetOf({ instance, metatype, inject, isNotMetatype }: Wrapper): { target?: object; type?: Function | undefined } {
  if (typeof instance === 'object' && instance !== null) return { target: instance as object, type: classOf(instance) };
  const isClass = typeof metatype === 'function' && !inject && !isNotMetatype && typeof metatype.prototype === 'object';
  return isClass ? { target: metatype.prototype as object, type: metatype } : {};
}

function toListener(target: object, type: Function | undefined, { method, event, options }: ListenerDeclaration): RunListener {
  const name = options.name ?? checkName(`${type?.name ?? ''}.${method}`, `@OnRunEvent() on ${method}: name`);
  const workflow = workflowName(options, name);
  return {
    key: `${name} ${event}${workflow === '' ? '' : ` ${workflow}`}`,
    name,
    event,
    workflow,
    delivery: options.durable === true ? 'durable' : 'in process',
    call: (given: AnyRunEvent): unknown => (target as Readonly<Record<string, (event: AnyRunEvent) => unknown>>)[method]!(given),
  };
}

/** Returns the name of the workflow that a listener observes; an empty text for all workflows. */
function workflowName({ workflow, module }: ListenerDeclaration['options'], listener: string): string {
  if (workflow === undefined) return '';
  if (typeof workflow === 'string') return checkName(workflow, `@OnRunEvent() on ${listener}: workflow`);
  if (isWorkflowRef(workflow)) return workflow.name;
  const identity = workflowIdentityOf(workflow);
  if (identity.module !== module)
    throw new WorkflowConfigurationError(
      `@OnRunEvent() on ${listener}: workflow "${identity.name}" belongs to ${moduleLabel(identity.module)}, and the listener to ${moduleLabel(module)}`,
    );
  return identity.name;
}

/**
 * Refuses a name that another class or method has, whatever the event. Events wait under the name,
 * and the workflow of a durable listener has no other name, so a call could reach the other method.
 */
function refuseShared({ name, event }: RunListener, owner: ListenerOwner, owners: Map<string, ListenerOwner>): void {
  const other = owners.get(name) ?? owner;
  owners.set(name, other);
  if (other.type === owner.type && other.method === owner.method) return;
  const which = other.type === owner.type ? `the methods ${other.method} and ${owner.method} both` : 'two classes';
  throw new WorkflowConfigurationError(
    `${which} have the listener "${name}": give one of them another name with @OnRunEvent('${event}', { name })`,
  );
}

/** Refuses a method that listens to an event of all workflows, and to that of one workflow too. */
function refuseRepeated(listeners: readonly RunListener[]): void {
  const ofAll = new Set(listeners.filter(({ workflow }) => workflow === '').map(({ name, event }) => `${name}\n${event}`));
  const repeated = listeners.find(({ name, event, workflow }) => workflow !== '' && ofAll.has(`${name}\n${event}`));
  if (!repeated) return;
  throw new WorkflowConfigurationError(
    `@OnRunEvent() on ${repeated.name}: it would be called twice with ${repeated.event} of workflow "${repeated.workflow}": remove one of its decorators`,
  );
}
