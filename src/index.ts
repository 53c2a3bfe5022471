export { WorkflowClient } from './client/client.js';
export type { ExecuteOptions } from './client/execute-options.js';
export type { StartManyOptions } from './client/starter.js';
export type { BlockedDescription } from './client/queries/blocked-description.js';
export type { BodyDescription, WaitingFor } from './client/queries/waiting-for.js';
export type { ChildDescription, RunDescription, StepDescription, WaitDescription } from './client/queries/describe.js';
export type { SendOptions } from './client/send-options.js';
export {
  defineEvent,
  type EventArguments,
  type EventCondition,
  type EventDefinition,
  type EventOf,
  type EventOptions,
  type EventValue,
} from './core/event.js';
export type { EventStart } from './core/workflow-metadata.js';
export type { EventDescription, EventFilter, EventPage, Events } from './client/events.js';
export type { ClientEmitOptions } from './client/emit-options.js';
export type {
  BackfillOptions,
  CreateScheduleOptions,
  GetScheduleOptions,
  ListSchedulesOptions,
  PauseScheduleOptions,
  PreviewOptions,
  ScheduleInput,
  TriggerScheduleOptions,
  UpdateScheduleOptions,
} from './client/schedules/schedule-options.js';
export type { ScheduleDescription, ScheduleDetails, ScheduleRun } from './client/schedules/schedule-description.js';
export type { Schedules } from './client/schedules/schedules.js';
export type { ScheduleQueries } from './client/schedules/schedule-queries.js';
export type { RunSchedule, ScheduleCatchUp, ScheduleOverlap, SchedulePolicies, ScheduleTiming } from './core/schedules/schedule-types.js';
export { defineSignal, type SignalArguments, type SignalDefinition, type SignalValue } from './core/signal.js';
export type { CompensatedStep, CompensateOn, CompensationOrder } from './core/compensation.js';
export type {
  ChildCompensation,
  CompensateOptions,
  EmitOptions,
  EventWaitOptions,
  StartChildOptions,
  Hook,
  HookOptions,
  HookRequest,
  InvokeManyOptions,
  InvokeOptions,
  RaceBranches,
  RaceResult,
  SignalOptions,
  StepOptions,
  WaitOptions,
} from './engine/context-options.js';
export type { AuditOptions } from './client/control/control-options.js';
export type { BulkDryRun, BulkOperations, BulkPreview, BulkSignalDryRun, BulkStart, BulkStatus } from './client/control/bulk.js';
export type { CancelOptions, ForkOptions, RetryRunOptions, StepResult } from './client/control/control-options.js';
export type { Retention, RetentionCount } from './client/retention.js';
export type { ClearOptions, QueueDescription, Queues } from './client/queues.js';
export type { QueueKeyFunction } from './core/queue-key.js';
export type { KeyLimits, QueueLimitName, QueueOptions, RateLimit, StepLimitOptions } from './core/queue-limits.js';
export type { FollowOptions } from './client/follow-options.js';
export type { StepsOptions } from './client/queries/steps.js';
export type { DeadLetter, DeadLetterPage, DeadLetters } from './client/dead-letters.js';
export { WorkflowHandle } from './client/handle.js';
export type { StreamDescription } from './client/queries/streams.js';
export type { StreamMessage } from './client/streams/stream-message.js';
export type { StreamEndState, StreamEvent } from './client/streams/stream-event.js';
export type { StreamOptions } from './client/streams/stream-options.js';
export type {
  BlockedHealth,
  DueHealth,
  QueueHealth,
  ReplicaHealth,
  SessionHealth,
  SuspectHealth,
  SchedulesHealth,
  UndispatchedHealth,
  UnwritableHealth,
  WorkerHealth,
  WorkflowHealth,
} from './client/queries/health.js';
export type { ExportedHead, ExportedHistory, ExportedOutcome } from './client/queries/exported-history.js';
export type { HistoryEntry, HistoryOptions, HistoryPage } from './client/queries/history.js';
export { WorldRuns, type ListedWorldRun, type WorldListOptions, type WorldRunPage } from './client/queries/world-runs.js';
export type {
  FailureGroup,
  FailureGrouping,
  FailuresOptions,
  ListOptions,
  RunPage,
  RunSummary,
  WaitingForPlace,
} from './client/queries/listing.js';
export type { RunFilter } from './client/queries/run-filter.js';
export type { ManagerOption } from './client/transactions/manager-option.js';
export type { FailureDimension } from './core/failure.js';
export type { Batch, BatchOptions, ElementOfBatch, ResultOfMember } from './core/batch.js';
export type { StartOptions } from './client/start-options.js';
export type { DebounceOptions, SharedStartOptions, ThrottleOptions } from './client/shared-start-options.js';
export {
  workflowRef,
  type InputArguments,
  type InputOf,
  type OutputOf,
  type Startable,
  type StartArguments,
  type WorkflowClass,
  type WorkflowRef,
  type WorkflowTarget,
} from './core/workflow-types.js';
export { parseDuration, type ConfiguredDuration, type Duration } from './core/duration.js';
export * from './core/errors/index.js';
export type { PayloadCodec, PayloadInfo } from './core/payloads.js';
export type { RetentionOptions } from './core/retention.js';
export type { RetryOptions } from './core/retry-policy.js';
export type {
  AnyRunEvent,
  RunBlockedEvent,
  RunCancelledEvent,
  RunCompletedEvent,
  RunEventError,
  RunEventName,
  RunEventOf,
  RunFailedEvent,
  RunWorkerLostEvent,
  StepFailedEvent,
} from './core/run-events.js';
export type { DispatchKey, RunStatus, ShownStatus } from './core/run.js';
export type { QStashOptions, QueueFlowOptions } from './nest/options/qstash-options.js';
export { serializer, type PayloadType } from './core/serializer/types.js';
export type { StandardIssue, StandardResult, StandardSchema } from './core/standard-schema.js';
export type { MessageKind } from './core/message-kinds.js';
export type { EventSelection, OpenWait, StepKind, StepRecord, WaitKind } from './core/step.js';
export type { WorkflowStream } from './core/stream.js';
export { startEmbeddedPostgres, type EmbeddedPostgres, type EmbeddedPostgresOptions } from './embedded/index.js';
export { WorkflowContext } from './engine/workflow-context.js';
export { currentManager } from './host/transactions/current-manager.js';
export type { StepIsolation, TransactionalOptions } from './core/transactional.js';
export { currentRun, currentStep, NotInStepError, type CurrentRun, type CurrentStep } from './engine/current.js';
export type { RunLogger } from './core/log-fields.js';
export {
  InjectWorkflowClient,
  InjectWorkflowRepository,
  getWorkflowClientToken,
  getWorkflowHealthIndicatorToken,
  getWorkflowOptionsToken,
  getWorkflowRepositoryToken,
  WORKFLOW_OPTIONS,
} from './nest/tokens.js';
export { WorkflowExceptionFilter } from './nest/http/exception-filter.js';
export { HookVerifier, type HookRequestVerifier, type HookVerificationRequest } from './nest/http/hook-verifiers.js';
export { DurableHealthIndicator, type DurableHealthResult } from './nest/health/durable-health-indicator.js';
export type { HealthThresholds } from './nest/health/thresholds.js';
export type { DashboardHttpRequest, DashboardOptions } from './nest/options/dashboard-options.js';
export type { EndpointOptions, GuardedEndpointOptions, HttpOptions, MetricsEndpointOptions } from './nest/options/http-options.js';
export { OnRunEvent, type OnRunEventOptions } from './nest/decorators/on-run-event.js';
export { Schedule, type ScheduleDecoratorOptions } from './nest/decorators/schedule.js';
export { Step, Workflow, type WorkflowOptions } from './nest/decorators/decorators.js';
export type { StepMethodOptions } from './nest/decorators/step-declarations.js';
export { StepsOf } from './nest/decorators/steps-of.js';
export type { WorkflowRequest } from './nest/instance-per-pass.js';
export type {
  ConnectionOptions,
  RunInTransaction,
  StepEnhancer,
  WorkerOptions,
  WorkflowModuleOptions,
  WorkflowModuleExtras,
} from './nest/options/options.js';
export type { WorkflowFactoryOptions, WorkflowModuleAsyncOptions, WorkflowOptionsFactory } from './nest/options/module-types.js';
export { WorkflowModule } from './nest/workflow.module.js';
export * from './store/entities/index.js';
export { durableMigrations, migrationSql, type DurableMigration } from './store/schema.js';
