import type { Failure } from './failure.js';
import type { NewRun, RunStatus, TerminalStatus } from './run.js';
import type { OpenWait, StepRecord } from './step.js';

/** A fact about a run that its other rows do not show: one row of `workflow_run_log`. */
export interface RunEvent {
  readonly kind: 'attempt_failed' | 'cancel_requested' | 'worker_lost' | 'blocked' | 'payload_dropped';
  readonly stepKey: string | null;
  readonly attempt: number | null;
  /** JSON text. */
  readonly data: string | null;
}

/** Reason of a child's cancellation, kept in the child's history. */
export const PARENT_CANCELLED = 'its parent no longer waits for it';

/** Change by which the owner of a run ends or releases the run. */
export type RunChange =
  | {
      readonly status: TerminalStatus;
      readonly output: string | null;
      readonly error: string | null;
      /** Labels of a failed run. */
      readonly failure?: Failure;
      /**
       * `some` when waits or messages of the run may be stored, which are deleted with the change.
       */
      readonly leftovers: 'none' | 'some';
      /** The step of another run that waits for this run. */
      readonly parent?: { readonly runId: string; readonly stepKey: string } | null;
      /** The run that continues in its place. */
      readonly continuedAs?: NewRun;
    }
  /** Suspends the run, unless a message has arrived for the run since `wakeCount` was read. */
  | { readonly status: 'waiting'; readonly wakeAt: number | null; readonly wakeCount: number }
  /** Pauses the run for an operator, unless a message has arrived since `wakeCount` was read. */
  | { readonly status: 'paused'; readonly wakeAt: null; readonly wakeCount: number }
  /** Hands the run back. Another worker may claim the run at once. */
  | { readonly status: 'pending' }
  /** Blocks the run until another deployment, because the code does not fit the history. */
  | { readonly status: 'waiting'; readonly blockedFor: string; readonly reason: string };

/**
 * One fact to be made durable. Only the owner of a run writes transitions other than `start`. Each
 * of them carries the owner's epoch, and the database refuses the transition once the owner's
 * session has ended.
 */
export type Transition =
  | { readonly kind: 'start'; readonly runId: string; readonly run: NewRun; readonly owned: boolean }
  | {
      readonly kind: 'step';
      readonly runId: string;
      readonly epoch: number;
      readonly step: StepRecord;
      /** True when the step ends the open wait of the same key. */
      readonly closesWait: boolean;
      /** The inbox message that the step received. */
      readonly takes: string | null;
    }
  | {
      readonly kind: 'wait';
      readonly runId: string;
      readonly epoch: number;
      readonly wait: OpenWait;
      readonly event: RunEvent | null;
      /** The child run that is started together with the wait for it. */
      readonly child?: NewRun;
    }
  | { readonly kind: 'closeWait'; readonly runId: string; readonly epoch: number; readonly stepKey: string }
  /** Requests the cancellation of a child, and closes the wait for it. */
  | { readonly kind: 'cancelChild'; readonly runId: string; readonly epoch: number; readonly stepKey: string; readonly childId: string }
  /** Deletes a message that no step received. The event says why. */
  | { readonly kind: 'drop'; readonly runId: string; readonly epoch: number; readonly messageId: string; readonly event: RunEvent | null }
  | { readonly kind: 'state'; readonly runId: string; readonly epoch: number; readonly key: string; readonly value: string }
  | { readonly kind: 'change'; readonly runId: string; readonly epoch: number; readonly change: RunChange; readonly historyBytes: number };

/** Outcome of a transition that did not fail. */
export type Committed =
  | { readonly outcome: 'done'; readonly at: number }
  /** `start`: a run with that id already existed. */
  | { readonly outcome: 'exists'; readonly name: string; readonly status: RunStatus; readonly parentRunId: string | null }
  /**
   * `change` to waiting or paused: a message has arrived for the run, so the change was not made.
   */
  | { readonly outcome: 'moved'; readonly wakeCount: number };
