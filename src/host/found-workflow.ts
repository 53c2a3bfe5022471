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
