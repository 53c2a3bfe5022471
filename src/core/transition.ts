import type { NewEvent } from './event.js';
import type { Failure } from './failure.js';
import type { NewRun, RunStatus, TerminalStatus } from './run.js';
import type { OpenWait, StepRecord } from './step.js';
import type { NewChunk } from './stream.js';

/** An event of a run that the run's other rows do not show: one row of `workflow_run_log`. */
export interface RunEvent {
  readonly kind: 'attempt_failed' | 'cancel_requested' | 'worker_lost' | 'blocked' | 'payload_dropped';
  readonly stepKey: string | null;
  readonly attempt: number | null;
  /** Details of the event, as JSON text. */
  readonly data: string | null;
}

/** Reason that the history of a child run shows when its parent has cancelled the child run. */
export const PARENT_CANCELLED = 'its parent no longer waits for it';

/** Change by which the owner of a run ends the run or gives up its ownership. */
export type RunChange =
  | {
      readonly status: TerminalStatus;
      readonly output: string | null;
      readonly error: string | null;
      /** Labels of the failure; absent unless `status` is `failed`. */
      readonly failure?: Failure;
      /**
       * `some` when the run may still have stored waits or messages, which must be deleted together
       * with the change.
       */
      readonly leftovers: 'none' | 'some';
      /** The step of the parent run that waits for this run; null when no step waits. */
      readonly parent?: { readonly runId: string; readonly stepKey: string } | null;
      /** The run that continues in place of this run after `ctx.continueAsNew`. */
      readonly continuedAs?: NewRun;
      /** True when a step of the run has received an event; absent otherwise. */
      readonly hasReceivedEvents?: true;
    }
  /** Suspends the run, unless a message has arrived for the run since `wakeCount` was read. */
  | { readonly status: 'waiting'; readonly wakeAt: number | null; readonly wakeCount: number }
  /** Pauses the run for an operator, unless a message has arrived since `wakeCount` was read. */
  | { readonly status: 'paused'; readonly wakeAt: null; readonly wakeCount: number }
  /**
   * Hands the run back, so that another worker may claim the run at once. `dueSince` is the run's
   * place in the order of claims, in milliseconds since the epoch. Without it the run comes last.
   */
  | { readonly status: 'pending'; readonly dueSince?: number }
  /**
   * Blocks the run until another deployment is running or an operator resumes the run. In most
   * cases, the code of this deployment does not fit the history of the run. `blockedFor` is the id
   * of this deployment. `reason` is an encoded error.
   */
  | { readonly status: 'waiting'; readonly blockedFor: string; readonly reason: string };

/** Result of a step, with the rows that are removed when the result is stored. */
export interface StepResult {
  readonly step: StepRecord;
  /** True when the step ends the open wait with the same key. */
  readonly closesWait: boolean;
  /** Id of the inbox message that the step received; null when the step received no message. */
  readonly takes: string | null;
  /** Number of the event that the step received; absent when the step received no event. */
  readonly event?: string | undefined;
}

/**
 * One change to be stored in the database. Any process may write a `start` or an `emit`, and only
 * the owner of a run may write the other transitions. An owner's transition carries the run's
 * epoch, and the database refuses the transition after the owner's session has ended.
 */
export type Transition =
  | { readonly kind: 'start'; readonly runId: string; readonly run: NewRun; readonly owned: boolean }
  | ({
      readonly kind: 'step';
      readonly runId: string;
      readonly epoch: number;
    } & StepResult)
  | {
      readonly kind: 'wait';
      readonly runId: string;
      readonly epoch: number;
      readonly wait: OpenWait;
      readonly event: RunEvent | null;
      /** The child run that is started together with this wait. */
      readonly child?: NewRun;
    }
  /** Emits an event. `runId` only orders the events of one name and key. */
  | { readonly kind: 'emit'; readonly runId: string; readonly event: NewEvent }
  | { readonly kind: 'closeWait'; readonly runId: string; readonly epoch: number; readonly stepKey: string }
  /**
   * Requests the cancellation of a child run, and closes the parent's wait for the child. `stepKey`
   * is null when the wait stays open until the child has ended.
   */
  | {
      readonly kind: 'cancelChild';
      readonly runId: string;
      readonly epoch: number;
      readonly stepKey: string | null;
      readonly childId: string;
    }
  /** Deletes a message that no step received. The event records the reason. */
  | { readonly kind: 'drop'; readonly runId: string; readonly epoch: number; readonly messageId: string; readonly event: RunEvent | null }
  | { readonly kind: 'state'; readonly runId: string; readonly epoch: number; readonly key: string; readonly value: string }
  /** Appends chunks to a stream of the run. */
  | {
      readonly kind: 'chunks';
      readonly runId: string;
      readonly epoch: number;
      readonly stream: string;
      readonly chunks: readonly NewChunk[];
    }
  | { readonly kind: 'change'; readonly runId: string; readonly epoch: number; readonly change: RunChange; readonly historyBytes: number };

/** Outcome of a transition that did not fail. */
export type Committed =
  /** `at` is the time of the flush by the database's clock, in milliseconds since the epoch. */
  | { readonly outcome: 'done'; readonly at: number }
  /** Outcome of a `start` whose run id was already taken. */
  | { readonly outcome: 'exists'; readonly name: string; readonly status: RunStatus; readonly parentRunId: string | null }
  /**
   * Outcome of a `start` that shares its run with other starts. `runId` is the run that counts.
   * `wakeAt` is the time at which the run becomes due, in milliseconds since the epoch, or null
   * when the time is not later than announced before.
   */
  | { readonly outcome: 'shared'; readonly runId: string; readonly name: string; readonly created: boolean; readonly wakeAt: number | null }
  /**
   * Outcome of a `start` of a member. `announced` is the run of the batch, if this start has opened
   * the batch or filled it; `wakeAt` is absent when the batch is due now.
   */
  | { readonly outcome: 'batched'; readonly announced: { readonly id: string; readonly wakeAt?: number } | null }
  /**
   * Outcome of a `change` to waiting or paused that was not made, because a message has arrived for
   * the run.
   */
  | { readonly outcome: 'moved'; readonly wakeCount: number };
