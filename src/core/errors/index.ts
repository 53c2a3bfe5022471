export { WorkflowError } from './workflow-error.js';
export {
  ArgumentChangedError,
  NestedStepError,
  NonRetryableError,
  RetryableError,
  StepFailedError,
  StepResolvedError,
  StepTimeoutError,
} from './step-errors.js';
export {
  HistoryTooLargeError,
  HookConflictError,
  HookNotFoundError,
  InboxFullError,
  NonDeterminismError,
  RaceLostError,
  ReplayDifferenceError,
  ResultTimeoutError,
  RunAlreadyExistsError,
  RunEndedError,
  RunNotCommittedError,
  RunNotFoundError,
  RunNotRetryableError,
  StepNotRecordedError,
  RunNotRecordedError,
  TransactionConflictError,
  WorkerLostError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowTerminatedError,
  WorkflowTimeoutError,
} from './run-errors.js';
export {
  ClientInRunError,
  InvalidInputError,
  PayloadTooLargeError,
  PayloadUnreadableError,
  SerializationError,
  SharedStateError,
  WorkflowNotFoundError,
  type InputIssue,
} from './input-errors.js';
export {
  ClosedError,
  DatabaseUnavailableError,
  LeftoversError,
  QueryTimeoutError,
  SchemaMismatchError,
  WorkflowConfigurationError,
} from './system-errors.js';
/** @internal */
export { FencedError } from './system-errors.js';
