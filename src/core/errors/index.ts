export { WorkflowError } from './workflow-error.js';
export {
  ArgumentChangedError,
  CompensationFailedError,
  NestedStepError,
  NonRetryableError,
  RetryableError,
  SagaEndedError,
  StepFailedError,
  StepResolvedError,
  StepTimeoutError,
} from './step-errors.js';
export {
  RaceLostError,
  WorkerLostError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowTerminatedError,
  WorkflowTimeoutError,
} from './outcome-errors.js';
export {
  ResultTimeoutError,
  RunAlreadyExistsError,
  RunEndedError,
  RunNotCommittedError,
  RunNotEndedError,
  RunNotFoundError,
  RunNotRetryableError,
  TransactionConflictError,
} from './run-errors.js';
export {
  HistoryTooLargeError,
  NonDeterminismError,
  ReplayDifferenceError,
  RunNotRecordedError,
  StepNotRecordedError,
} from './history-errors.js';
export { ScheduleAlreadyExistsError, ScheduleDeclaredError, ScheduleNotFoundError } from './schedule-errors.js';
export { StreamClosedError, StreamExpiredError, StreamLimitError } from './stream-errors.js';
export { EventNotFoundError, HookConflictError, HookNotFoundError, InboxFullError } from './message-errors.js';
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
export {
  NotInTransactionError,
  ReadOnlyTransactionError,
  TransactionalStepsError,
  type TransactionalStepsProblem,
} from './transaction-errors.js';
/** @internal */
export { FencedError } from './system-errors.js';
