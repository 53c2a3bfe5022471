import type { WorkflowDefinition } from '../engine/ports.js';

/** Workflow that the application provides. */
export interface FoundWorkflow {
  readonly definition: WorkflowDefinition;
  /** Source text of the workflow class, from which a deployment id may be derived. */
  readonly source: string;
}
