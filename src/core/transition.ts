import type { Failure } from './failure.js';
import type { NewRun, RunStatus, TerminalStatus } from './run.js';
import type { OpenWait, StepRecord } from './step.js';

/** A fact about a run that does not show in its other rows: one row of `workflow_run_log`. */
export interface RunEvent {
  readonly kind: 'attempt_failed' | 'cancel_requested' | 'worker_lost' | 'blocked' | 'payload_dropped';
  readonly stepKey: string | null;
  readonly attempt: number | null;
  /** JSON text. */
  readonly data: string | null;
}

/** Why a child is asked to stop: kept in its history. */
export const PARENT_CANCELLED = 'its parent gave it up';

/** How a run leaves the hands of its owner. */
export type RunChange =
  | {
      readonly status: TerminalStatus;
      readonly output: string | null;
      readonly error: string | null;
      /** Of a failed run. */
      readonly failure?: Failure;
      /** Whether waits or messages of the run may be recorded: they go with it. */
      readonly leftovers: 'none' | 'some';
      /** The step of another run that waits for this one. */
      readonly parent?: { readonly runId: string; readonly stepKey: string } | null;
      /** The run that goes on in its place. */
      readonly continuedAs?: NewRun;
    }
  /** Suspend: only if nothing came for the run since `wakeCount` was read. */
  | { readonly status: 'waiting'; readonly wakeAt: number | null; readonly wakeCount: number }
  /** An operator wants it to rest; only if nothing came for the run since `wakeCount` was read. */
  | { readonly status: 'paused'; readonly wakeAt: null; readonly wakeCount: number }
  /** Hand back: due at once for whoever claims it. */
  | { readonly status: 'pending' }
  /** The code does not fit the history: wait for another deployment. */
  | { readonly status: 'waiting'; readonly blockedFor: string; readonly reason: string };

/**
 * One fact to be made durable. All but `start` and `send` are the owner's: they carry the epoch under which it owns the run,
 * and are refused once its session is gone.
 */
export type Transition =
  | { readonly kind: 'start'; readonly runId: string; readonly run: NewRun; readonly owned: boolean }
  | {
      readonly kind: 'step';
      readonly runId: string;
      readonly epoch: number;
      readonly step: StepRecord;
      /** Ends the open wait of the same key. */
      readonly closesWait: boolean;
      /** The inbox message that this step took. */
      readonly takes: string | null;
    }
  | {
      readonly kind: 'wait';
      readonly runId: string;
      readonly epoch: number;
      readonly wait: OpenWait;
      readonly event: RunEvent | null;
      /** Started together with the wait for it. */
      readonly child?: NewRun;
    }
  | { readonly kind: 'closeWait'; readonly runId: string; readonly epoch: number; readonly stepKey: string }
  /** Asks a child to stop, and closes the wait for it. */
  | { readonly kind: 'cancelChild'; readonly runId: string; readonly epoch: number; readonly stepKey: string; readonly childId: string }
  /** A message is gone that nobody took; the event says why. */
  | { readonly kind: 'drop'; readonly runId: string; readonly epoch: number; readonly messageId: string; readonly event: RunEvent | null }
  | { readonly kind: 'state'; readonly runId: string; readonly epoch: number; readonly key: string; readonly value: string }
  | { readonly kind: 'change'; readonly runId: string; readonly epoch: number; readonly change: RunChange; readonly historyBytes: number };

/** What became of a transition that did not fail. */
export type Committed =
  | { readonly outcome: 'done'; readonly at: number }
  /** `start`: a run of that id was there before. */
  | { readonly outcome: 'exists'; readonly name: string; readonly status: RunStatus; readonly parentRunId: string | null }
  /** `change` to waiting: something came for the run; it has not been suspended. */
  | { readonly outcome: 'moved'; readonly wakeCount: number };
