export { WorkflowError } from './workflow-error.js';
export { NestedStepError, NonRetryableError, RetryableError, StepFailedError, StepTimeoutError } from './step-errors.js';
export {
  HookConflictError,
  HookNotFoundError,
  NonDeterminismError,
  RaceLostError,
  ResultTimeoutError,
  RunAlreadyExistsError,
  RunEndedError,
  RunNotCommittedError,
  RunNotFoundError,
  WorkerLostError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowTimeoutError,
} from './run-errors.js';
export {
  ClientInRunError,
  InvalidInputError,
  PayloadTooLargeError,
  SerializationError,
  SharedStateError,
  WorkflowNotFoundError,
} from './input-errors.js';
export { ClosedError, DatabaseUnavailableError, FencedError, SchemaMismatchError, WorkflowConfigurationError } from './system-errors.js';
