import { isRetentionUsed, type RetentionConfiguration, type RetentionRule, type WorkflowRetention } from '../core/retention.js';
import type { FoundWorkflow } from './found-workflow.js';

/** Retention of a module. Its workflows are known once the application has been scanned. */
export class HostRetention implements RetentionConfiguration {
  workflows: readonly WorkflowRetention[] = [];

  constructor(readonly general: RetentionRule) {}

  foundWorkflows(workflows: readonly FoundWorkflow[]): void {
    this.workflows = workflows.map(({ definition: { name, version }, retention }) => ({ name, version, own: retention }));
  }

  /** The configuration, or undefined when neither the module nor a class has a retention. */
  get ifUsed(): RetentionConfiguration | undefined {
    return isRetentionUsed(this) ? this : undefined;
  }
}
