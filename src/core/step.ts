/** What ended: a step's body, a wait, or the delivery of a cancellation. */
export type StepKind = 'step' | 'cancel' | 'patch' | 'start' | Exclude<WaitKind, 'retry'>;

/** What is waited for. A `retry` is a failed step that waits for its next attempt. */
export type WaitKind = 'sleep' | 'retry' | 'signal' | 'hook' | 'child';

/** A recorded operation of a run: one row of `workflow_steps`. Payloads are JSON text, times milliseconds by the database's clock. */
export interface StepRecord {
  readonly stepKey: string;
  readonly kind: StepKind;
  /** The place in the order in which results enter the workflow. */
  readonly seq: number;
  readonly status: 'completed' | 'failed';
  readonly output: string | null;
  readonly error: string | null;
  readonly attempts: number;
  /** How many results had been delivered when the step was called. */
  readonly calledAfter: number;
  /** Whether the call came out of ordinary I/O instead of following a delivery at once. */
  readonly calledAfterIo: boolean;
  /** A fingerprint of the arguments, null when they cannot be compared. */
  readonly argsHash: number | null;
  readonly startedAt: number;
  readonly finishedAt: number;
}

/**
 * A wait that is open: one row of `workflow_waits`. A `retry` is a failed step that waits for its next attempt; a `grace` what a cancelled run had left to clean up
 * when it was suspended, which was at `openedAt`.
 */
export interface OpenWait {
  readonly stepKey: string;
  readonly kind: WaitKind | 'grace';
  /** What is waited for: a signal's name, a hook's token, a child's run id. */
  readonly name: string | null;
  /** Due then, milliseconds since the epoch by the database's clock; null when only a message ends it. */
  readonly wakeAt: number | null;
  /** How many attempts of the step have failed. */
  readonly attempts: number;
  /** When the step was called, milliseconds since the epoch. */
  readonly openedAt: number;
}

/** What was recorded of a run before this pass. */
export interface History {
  /** In the order of `seq`. */
  readonly steps: readonly StepRecord[];
  readonly waits: readonly OpenWait[];
}

export const EMPTY_HISTORY: History = { steps: [], waits: [] };
