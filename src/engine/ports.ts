import type { NewEvent } from '../core/event.js';
import type { Failure } from '../core/failure.js';
import type { HookSchemas } from '../core/hook-schemas.js';
import type { Payloads } from '../core/payloads.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { LogLevel } from '../core/log-fields.js';
import type { ManualClock } from '../core/manual-clock.js';
import type { NewRun } from '../core/run.js';
import type { ScheduledFor } from '../core/schedules/schedule-types.js';
import type { CompensationOrder } from '../core/compensation.js';
import type { History, OpenWait } from '../core/step.js';
import type { PassSpan } from '../core/tracing.js';
import type { RunEvent, StepResult } from '../core/transition.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { BodySlot } from './body-slot.js';
import type { Call } from './call.js';
import type { RunStarter } from './run-starter.js';
import type { StepLimits } from './step-limits-port.js';
import type { StreamPort } from './stream-port.js';
import type { TransactionPort } from './transaction-port.js';
import type { WorkflowContext } from './workflow-context.js';

/** Code of a workflow, ready to be executed. */
export interface WorkflowCode {
  readonly invoke: (input: unknown, context: WorkflowContext) => Promise<unknown>;
  /** Runs the application's interceptors around the bodies of methods with `@Step`. */
  readonly interceptor?: StepInterceptor;
}

/** Code that runs around a step's body, such as guards and interceptors of Nest. */
export interface StepInterceptor {
  /** Calls `method` on `target`, inside the interceptors. */
  execute(target: object, method: Function, name: string, args: readonly unknown[]): Promise<unknown>;
  /** Called when the interceptors have let the body of `step` begin. */
  began(step: object): void;
}

/** Run for which an instance of a workflow is created. */
export interface StartedRun {
  readonly runId: string;
  readonly input: unknown;
}

/**
 * Creates the workflow's code for one execution (a pass), when each pass has a workflow instance of
 * its own.
 */
export interface WorkflowInstanceFactory {
  make(run: StartedRun): Promise<WorkflowCode>;
  /** Reports that creating the instance failed. @returns milliseconds until the next try */
  failed(runId: string, error: unknown): number;
}

/** Workflow as the engine needs it: its identity and its code. */
export type WorkflowDefinition = WorkflowIdentity & (WorkflowCode | { readonly maker: WorkflowInstanceFactory });

interface WorkflowIdentity {
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  /**
   * Returns true for the workflow itself. Step keys of the workflow's own methods leave out
   * the class name.
   */
  readonly owns: (target: unknown) => boolean;
  /**
   * Reserves a step name for the class or the declaration that owns the step.
   *
   * @throws WorkflowConfigurationError when the workflow has used this name for a step of another
   * owner
   */
  readonly claimName?: (name: string, owner: object) => void;
  readonly retry: RetryPolicy;
  readonly stepTimeoutMs: number;
  /**
   * Longest timeout of a step, in milliseconds; absent for no limit. With QStash, the end of the
   * request would cut off a longer body each time, so the body would never finish.
   */
  readonly longestStepMs?: number | undefined;
  /**
   * Time limit, in milliseconds, of a run that was started by the workflow's name alone; null for
   * none. Any other run gets its limit when it is started.
   */
  readonly runTimeoutMs?: number | null;
  /** True when the code takes the inputs of a batch; absent for other workflows. */
  readonly isBatch?: boolean;
  /** Order in which compensations are executed; absent for `'serial'`. */
  readonly compensation?: CompensationOrder | undefined;
}

/** Run that a pass executes. */
export interface PassRun {
  readonly id: string;
  /** Input in the stored form. */
  readonly input: string;
  readonly startedAt: number;
  /**
   * Unix time in milliseconds, by the database's clock, at which the run fails unless it has ended.
   * Null when the run has no timeout.
   */
  readonly deadlineAt: number | null;
  /** Number of times that an operator has retried the run. */
  readonly generation: number;
  /** Seed of the random numbers of the run. */
  readonly seedId: string;
  /** Key of the run within its queue; absent or null without a key. */
  readonly queueKey?: string | null;
  /** Schedule and due time of the run; absent or null when no schedule started the run. */
  readonly schedule?: ScheduledFor | null;
  /** Epoch of the claim under which the run is executed; absent in a replay check. */
  readonly epoch?: number;
}

/** Outcome of the workflow function. `output` and `error` are text in the stored form. */
export type PassOutcome =
  | { readonly status: 'completed'; readonly output: string; readonly continuedAs?: NewRun }
  | { readonly status: 'failed'; readonly error: string; readonly failure: Failure }
  | { readonly status: 'cancelled'; readonly error: string };

/**
 * Reason why one execution of the workflow function (a pass) was given up. The pass reports nothing
 * after a fault.
 */
export type PassFault =
  /**
   * The deployed code does not match the recorded history, or cannot decode it. The run waits for
   * another deployment.
   */
  | { readonly kind: 'mismatch'; readonly error: Error }
  /**
   * The database refused a result that the workflow's code had received. Another pass must start
   * from the stored results.
   */
  | { readonly kind: 'restart' };

/** Services and callbacks that the worker gives to one pass. */
export interface PassPort {
  readonly journal: PassJournal;
  readonly slot: BodySlot;
  /** Span of the pass; absent while tracing is off, and for a pass that only checks a replay. */
  readonly span?: PassSpan | undefined;
  /** Logs a warning for the developer. */
  warn(code: WarningCode, message: string): void;
  /** Reports a failed attempt of a step. */
  attemptFailed(failure: AttemptFailure): void;
  /**
   * Reports the end of the run. `leftovers` is `'some'` when the database may still have waits or
   * messages of the run.
   */
  ended(outcome: PassOutcome, leftovers: 'none' | 'some'): void;
  faulted(fault: PassFault): void;
  /**
   * Reports that the pass only waits. `wakeAt` is the time of the first timer, or infinity when
   * only messages are awaited.
   */
  idle(wakeAt: number): void;
  /**
   * Reports that the pass is working: `code` while it executes a body or waits for I/O of its own,
   * `results` while it only waits for results that are being written or delivered.
   */
  working(on: 'code' | 'results'): void;
  /**
   * Reports an open wait for which no message has arrived. The worker loads a limited number of
   * messages, so a message for this wait may still be in the inbox.
   */
  missing?(): void;
}

/**
 * Stores the results, waits and effects of a pass, in the order in which the pass submits them.
 * `durable` is called after the commit, and `refused` when the database refuses the data.
 */
export interface PassJournal extends PassEffects {
  record(result: StepResult, durable: () => void, refused: (error: Error) => void): void;
  openWait(wait: OpenWait, event: RunEvent | null, durable: () => void): void;
  /**
   * Opens a wait for a child run and starts the child, in one transaction. `known` is called with
   * the outcome: an error when the child was refused, because a run with its id already exists.
   */
  openChild(wait: OpenWait, child: NewRun, known: (refusal: Error | undefined) => void): void;
  /** Closes the wait of a step. */
  closeWait(stepKey: string): void;
  /**
   * Deletes a message that its wait has refused. `event` is null when the pass has already recorded
   * many dropped messages.
   */
  dropMessage(messageId: string, event: RunEvent | null): void;
}

/** Failed attempt of a step. */
export interface AttemptFailure {
  readonly stepKey: string;
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Unix time in milliseconds; undefined when the step has failed for good. */
  readonly nextAttemptAt: number | undefined;
  readonly error: unknown;
}

/** Log line that the code of a workflow writes. */
export interface RunLine {
  readonly level: LogLevel;
  readonly message: unknown;
  readonly params: readonly unknown[];
}

/** Effects that a workflow's code has outside its own run. */
export interface PassEffects extends TransactionPort {
  /**
   * Starts a run without waiting for its end. Resolves when the new run is durable.
   *
   * @returns `'taken'` when the id belongs to a run that this parent did not start
   */
  startDetached(run: NewRun): Promise<'started' | 'taken'>;
  /**
   * Requests the cancellation of a child run and closes the wait for it, in one transaction.
   *
   * @param stepKey key of the wait; null to keep the wait open until the child has ended
   */
  cancelChild(stepKey: string | null, childId: string): void;
  /** Emits an event. Resolves when the event is durable, also when it was emitted before. */
  emit(event: NewEvent): Promise<void>;
  /** Creates a hook. @returns the token; `owner` is the id of another run that already has it */
  createHook(hook: NewHook): Promise<{ token: string; owner?: string }>;
  /** Publishes a value for readers of the run. `value` is JSON text. */
  setState(key: string, value: string): void;
  /** Streams of the run. */
  readonly streams: StreamPort;
}

/** Hook that is to be created. */
export interface NewHook {
  readonly stepKey: string;
  readonly token: string;
  readonly headers: readonly string[];
  readonly verify: string | null;
  readonly idempotencyHeader: string | null;
}

/** Settings and services that the engine gets from its host. */
export interface EngineSettings {
  readonly payloads: Payloads;
  /** True when checks for mistakes in the application's code are on. These checks cost time. */
  readonly isDevelopment: boolean;
  readonly cancelGraceMs: number;
  /** Milliseconds that a replay waits for a recorded call that the code has not made yet. */
  readonly replayStallMs: number;
  /** Returns the current Unix time in milliseconds, by the database's clock. */
  readonly now: () => number;
  /** Clock of a test, on which timers and timeouts depend; absent outside of tests. */
  readonly manualClock?: ManualClock | undefined;
  /**
   * True when this process is sure that it still owns its runs. After a freeze, other workers may
   * have taken the runs: no step body begins until the process is sure again.
   */
  readonly isSure: () => boolean;
  /**
   * True while this process is closing. A body may then fail because a resource that it uses was
   * closed. So a failed attempt does not count, and another worker executes the body again.
   */
  readonly isClosing: () => boolean;
  /** Writes a log line of the workflow's code. */
  readonly log: (workflow: string, runId: string, line: RunLine) => void;
  readonly starts: RunStarter;
  /** Limits that steps name; absent where steps have no limits. */
  readonly limits?: StepLimits | undefined;
  /** Returns the URL of a hook. */
  readonly hookUrl: (token: string) => string;
  /** Schemas of hooks, with which the HTTP endpoint validates payloads. */
  readonly hookSchemas: HookSchemas;
  /** Replays a run before its end is recorded; absent when the replay check is off. */
  readonly verifyReplay?: ReplayVerifier | undefined;
}

/** Recorded run with which a replay is compared. */
export interface Recording {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  /** Results that the code got, and waits that were open when the last pass began. */
  readonly history: History;
  /**
   * Calls that the code made, by step key, with or without a result. Absent when only the history
   * is known.
   */
  readonly calls?: ReadonlyMap<string, Call> | undefined;
  /** Outcome of the run; absent when the run has not ended. */
  readonly outcome?: PassOutcome | undefined;
  /** Time at which the run ended, in milliseconds since the epoch; absent when it is not known. */
  readonly endedAt?: number | undefined;
}

/**
 * Replays a run, and compares the replay with the recording.
 *
 * @returns an error that names the first difference; undefined when nothing differs, or when
 * ordinary I/O may have caused the difference
 */
export type ReplayVerifier = (recording: Recording, settings: EngineSettings) => Promise<Error | undefined>;
