import type { EventSubscription } from '../core/event.js';
import type { RetentionRule } from '../core/retention.js';
import type { WorkflowDefinition } from '../engine/ports.js';

/** Workflow that the application provides. */
export interface FoundWorkflow {
  readonly definition: WorkflowDefinition;
  /** Class of the workflow; undefined for a workflow of the module itself. */
  readonly type: Function | undefined;
  /** Source text of the workflow class, from which a deployment id may be derived. */
  readonly source: string;
  /** Retention of the class; `'keep'` keeps all runs. Undefined when the class has none. */
  readonly retention: RetentionRule | 'keep' | undefined;
  /** Events that start the workflow. */
  readonly subscriptions: readonly EventSubscription[];
}

/** Returns the class with the highest version of each workflow, by name. */
export function newestClasses(workflows: readonly FoundWorkflow[]): Map<string, Function> {
  const newest = new Map<string, { readonly version: number; readonly type: Function }>();
  for (const { type, definition } of workflows) {
    const known = newest.get(definition.name);
    if (type && (known === undefined || known.version < definition.version))
      newest.set(definition.name, { version: definition.version, type });
  }
  return new Map([...newest].map(([name, { type }]) => [name, type]));
}
