import type { WorkflowDefinition } from '../engine/ports.js';

/** A workflow that the application provides. */
export interface FoundWorkflow {
  readonly definition: WorkflowDefinition;
  /** The source text of its class, which is part of the derived deployment id. */
  readonly source: string;
}
