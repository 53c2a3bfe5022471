/** Name of a run event that a listener can receive. */
export type RunEventName = 'run.completed' | 'run.failed' | 'run.cancelled' | 'run.blocked' | 'run.workerLost' | 'step.failed';

/** Names of all run events. The compiler requires one entry for each `RunEventName`. */
const NAMES: Readonly<Record<RunEventName, true>> = {
  'run.completed': true,
  'run.failed': true,
  'run.cancelled': true,
  'run.blocked': true,
  'run.workerLost': true,
  'step.failed': true,
};

/** Names of all run events. */
export const RUN_EVENTS = Object.keys(NAMES) as readonly RunEventName[];

/** Error of a run or a step, as a run event describes it. */
export interface RunEventError {
  /** Name of the error. */
  readonly name: string;
  /** Message of the error. */
  readonly message: string;
  /**
   * Code of the application's error, or the name of an error without a code. For a failed run, it
   * is the code by which `client.list` and `client.failures` find the run.
   */
  readonly code: string;
}

/** Parts that all run events have in common. */
interface RunEventBase<Name extends RunEventName> {
  /** Name of the event. */
  readonly event: Name;
  /**
   * Id of the event. A listener that is called twice with the same event gets the same id. Two
   * listeners get different ids.
   */
  readonly id: string;
  /** Id of the run. */
  readonly runId: string;
  /** Name of the run's workflow. */
  readonly workflow: string;
  /** Version of the run's workflow. */
  readonly version: number;
  /** Queue of the run. */
  readonly queue: string;
  /** Number of times that the run had been retried after a failure. */
  readonly generation: number;
  /** Tags of the run. Empty when the run has been deleted meanwhile. */
  readonly tags: Readonly<Record<string, string>>;
  /** Moment at which the event was recorded. */
  readonly occurredAt: Date;
  /** Moment at which the run was created. */
  readonly createdAt: Date;
  /** Moment of the run's first execution. Undefined for a run that was never executed. */
  readonly startedAt: Date | undefined;
}

/** A run has completed. */
export interface RunCompletedEvent extends RunEventBase<'run.completed'> {
  readonly status: 'completed';
}

/** A run has failed. */
export interface RunFailedEvent extends RunEventBase<'run.failed'> {
  readonly status: 'failed';
  /** Error of the run. */
  readonly error: RunEventError;
  /** Name of the step that made the run fail. Undefined when no step did. */
  readonly failedStep: string | undefined;
}

/** A run was cancelled or terminated. */
export interface RunCancelledEvent extends RunEventBase<'run.cancelled'> {
  readonly status: 'cancelled';
  /** Error of the run. Its code is `TERMINATED` for a run that was terminated. */
  readonly error: RunEventError;
}

/** A run waits for a deployment whose code fits the run's history. */
export interface RunBlockedEvent extends RunEventBase<'run.blocked'> {
  readonly status: 'waiting';
  /** Reason why the run is blocked. */
  readonly error: RunEventError;
}

/** The worker that executed a run has died. */
export interface RunWorkerLostEvent extends RunEventBase<'run.workerLost'> {
  /**
   * `pending` when another worker will execute the run. `failed` when the run has made too many
   * workers die.
   */
  readonly status: 'pending' | 'failed';
  /** Number of workers that have died while they executed the run. */
  readonly losses: number;
}

/** A step has failed and has no attempt left. */
export interface StepFailedEvent extends RunEventBase<'step.failed'> {
  readonly status: 'running';
  /** Key of the step. */
  readonly stepKey: string;
  /** Number of attempts of the step's body. */
  readonly attempts: number;
  /** Error of the step. */
  readonly error: RunEventError;
}

/** Every run event. */
export type AnyRunEvent = RunCompletedEvent | RunFailedEvent | RunCancelledEvent | RunBlockedEvent | RunWorkerLostEvent | StepFailedEvent;

/**
 * The event with the given name.
 *
 * @example
 * @OnRunEvent('run.failed')
 * async onFailed(event: RunEventOf<'run.failed'>): Promise<void> { ... }
 */
export type RunEventOf<Name extends RunEventName> = Extract<AnyRunEvent, { readonly event: Name }>;

/** A method of the application that is called with run events. */
export interface RunListener {
  /**
   * Text that identifies the method, the event and the workflow: `Alerts.onFailed run.failed`. It
   * is the same in all processes that have the listener.
   */
  readonly key: string;
  /** Name of the method: `Alerts.onFailed`. */
  readonly name: string;
  readonly event: RunEventName;
  /** Name of the workflow; an empty text for all workflows. */
  readonly workflow: string;
  /** Place where the method is called: in the process that delivers the event, or in a run. */
  readonly delivery: 'in process' | 'durable';
  readonly call: (event: AnyRunEvent) => unknown;
}

/**
 * Milliseconds after which a call of a listener counts as failed. For durable listeners,
 * `defaults.stepTimeout` replaces this limit.
 */
export const LISTENER_TIMEOUT_MS = 30_000;

/**
 * Beginning of the names of the workflows that call durable listeners. Runs of these workflows have
 * no run events, because a listener would otherwise cause events for itself without end.
 */
export const LISTENER_WORKFLOW_PREFIX = 'durable-listener:';
