import { WorkflowError } from '../core/errors/index.js';

/**
 * A test uses the test kit in a way that cannot work, or waits for something that does not happen.
 * The message says what to change.
 *
 * @example
 * await expect(test.signalWhenWaiting(run, approved)).rejects.toBeInstanceOf(WorkflowTestError);
 */
export class WorkflowTestError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowTestError';
  readonly code = 'WORKFLOW_TEST';
}
