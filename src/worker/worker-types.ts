import type { DatabaseClock } from '../core/clock.js';
import type { NewEvent } from '../core/event.js';
import type { DurableMetrics } from '../core/metrics/durable-metrics.js';
import type { OwnedRun } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { StepResult } from '../core/transition.js';
import type { LogFields } from '../core/log-fields.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { AttemptFailure, EngineSettings, PassOutcome } from '../engine/ports.js';
import type { StepTransaction } from '../engine/transaction-port.js';

/** Settings of a worker. */
export interface WorkerOptions {
  readonly concurrency: number;
  readonly queues: readonly string[];
  readonly suspendAfterMs: number;
  readonly clock: Pick<DatabaseClock, 'now' | 'at'>;
  readonly shutdownTimeoutMs: number;
  readonly eagerStart: boolean;
  /** `due` claims all due runs; `named` claims only runs that a transport names by their id. */
  readonly takes: 'due' | 'named';
  readonly deploymentId: string;
  /** Reaction to a run whose history does not match the workflow's code. */
  readonly onMismatch: 'block' | 'fail';
  readonly engine: EngineSettings;
  readonly metrics: DurableMetrics;
  /** Executes the bodies of transactional steps. */
  readonly transactions: StepTransactions;
  /** Emits events, and looks for events that a wait has missed. */
  readonly emitted: EventsPort;
}

/** Events, as the runs of a worker use them. */
export interface EventsPort {
  /** Emits an event. Resolves when the event is durable. */
  emit(event: NewEvent): Promise<void>;
  /** Called when a wait for an event has become durable. */
  opened(runId: string, stepKey: string): void;
}

/** Executes the bodies of transactional steps in transactions of the application's DataSource. */
export interface StepTransactions {
  /**
   * Executes a body, and commits its writes together with its result.
   *
   * @returns the result, which is durable
   * @throws TransactionRepeat when the transaction had no effect and the body is to be repeated
   * @throws FencedError when this process does not own the run any more
   * @throws TransactionalStepsError when this process cannot execute transactional steps
   */
  execute(run: OwnedRun, step: StepTransaction): Promise<StepResult>;
}

/** Events of a worker. */
export interface WorkerEvents extends RunNotices {
  ended(run: OwnedRun, outcome: PassOutcome): void;
  /**
   * Called when runs that this process handed back are due again, so that they are announced to
   * QStash. Processes that poll find these runs without a notice.
   */
  returned(runIds: readonly string[]): void;
  /** Called when chunks that a run has written to its streams are durable. */
  streamed(runId: string): void;
  /** Called when an attempt of a step of this run has failed. */
  attemptFailed(run: OwnedRun, failure: AttemptFailure): void;
  log(level: 'warn' | 'error', code: WarningCode, message: string, error?: unknown, fields?: LogFields): void;
}

/** A slot that this process reserved for a run that it is about to create. */
export interface Reservation {
  /** Begins the run in this slot. The run is already stored, and this process's session owns it. */
  execute(run: OwnedRun): void;
  release(): void;
}
