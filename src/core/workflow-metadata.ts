import { WorkflowNotFoundError } from './errors/input-errors.js';
import type { RetryOptions } from './retry-policy.js';

/** What `@Workflow` says of a class. */
export interface WorkflowOptions {
  /** Identifies the workflow, together with the version; keep it when the class is renamed. */
  name: string;
  /** Runs stay with the version that they began with. Default 1. */
  version?: number;
  /** The queue of runs that are started without naming one. Default `'default'`. */
  queue?: string;
  /** The retry policy of its steps, where they have none of their own. */
  retry?: RetryOptions;
  /** The name of the WorkflowModule whose worker executes it, and whose client starts it. Default: the module without a name. */
  module?: string;
}

/** The queue of everything that names none. */
export const DEFAULT_QUEUE = 'default';

const METADATA = Symbol.for('nestjs-durable.workflow');

export function setWorkflowMetadata(target: object, options: WorkflowOptions): void {
  Object.defineProperty(target, METADATA, { value: options, configurable: true });
}

/** What the class itself (not one that it extends) was decorated with. */
export function getWorkflowMetadata(target: unknown): WorkflowOptions | undefined {
  if (typeof target !== 'function' || !Object.hasOwn(target, METADATA)) return undefined;
  return (target as unknown as Record<symbol, WorkflowOptions>)[METADATA];
}

/** @throws WorkflowNotFoundError when the class has no `@Workflow` */
export function workflowMetadataOf(target: unknown): WorkflowOptions {
  const metadata = getWorkflowMetadata(target);
  if (!metadata) throw new WorkflowNotFoundError(typeof target === 'function' ? target.name : typeof target);
  return metadata;
}
