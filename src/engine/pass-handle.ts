import type { NewRun } from '../core/run.js';
import type { OpenWait, StepKind } from '../core/step.js';
import type { PassSpan } from '../core/tracing.js';
import type { RunEvent, StepResult } from '../core/transition.js';
import type { WarningCode } from '../core/warning-codes.js';
import type { Call } from './call.js';
import type { MessageHandler } from './mailbox.js';
import type { Settlement } from './message.js';
import type { AttemptFailure, EngineSettings, PassEffects, PassRun, WorkflowCode, WorkflowDefinition } from './ports.js';
import type { Timers } from './timers.js';
import type { Undo } from './undo.js';

/** A durable call that the workflow function asks for. */
export interface CallRequest {
  readonly kind: StepKind;
  /** First part of the step key. */
  readonly name: string;
  /** The application's own key; without it, repeated calls are numbered. */
  readonly key?: string | undefined;
  /** Fingerprint of the arguments; absent or null when they cannot be compared. */
  readonly argsHash?: number | null;
  /** Begins the work of the call. Called unless the call has a recorded result. */
  readonly begin: (call: Call) => void;
  /** AbortSignal whose abort withdraws the call. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called when the code makes a call whose wait an earlier pass left open. Prepares the call for a
   * withdrawal, which may come before the work of the call begins.
   */
  readonly resumed?: (call: Call, wait: OpenWait) => void;
  /**
   * Called when the code makes a call whose work cannot begin yet. Copies values that the caller
   * may change before the work begins.
   */
  readonly deferred?: () => void;
  /** Compensation of the call; absent for a call that has none. */
  readonly undo?: Undo | undefined;
  /**
   * Brings an open call with a compensation to its end, before compensations begin; absent for a
   * step, which gets its last attempt.
   */
  readonly bringToEnd?: ((call: Call) => void) | undefined;
}

/** Notified of changes that may make a pass idle or active. */
export interface ActivityDelegate {
  update(): void;
}

/** Attempt at a step's body, for code that may abort it. */
export interface Abortable {
  readonly stepKey: string;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
  abort(reason: unknown): void;
  /** Aborts the body's signal. The result of the body still counts. */
  signal(reason: unknown): void;
}

/** Receives the results of durable calls. */
export interface CallResults {
  /**
   * Records the result of a call, and queues the result for delivery to the code. Ignores a call
   * that has ended, and every call of a closed pass.
   */
  settle(call: Call, settlement: Settlement): void;
  /**
   * Numbers the result of a step that commits in a transaction of its own. Resolves when every
   * earlier result is durable. No other result gets a number until the caller calls `commit` or
   * `drop` of the returned object.
   */
  reserve(call: Call, settlement: Settlement): Promise<ReservedResult>;
}

/** Numbered result of a step whose transaction has not ended yet. */
export interface ReservedResult {
  readonly result: StepResult;
  /** Delivers the durable result to the code. */
  commit(): void;
  /** Gives the number back, because the transaction had no effect. */
  drop(): void;
}

/** Receives the begin and the outcome of each start of another run. */
export interface StartsObserver {
  began(): void;
  ended(): void;
}

/** One execution of the workflow function (a pass), for steps, waits and other operations. */
export interface PassHandle {
  readonly run: Pick<PassRun, 'id' | 'generation' | 'seedId' | 'queueKey' | 'schedule'>;
  readonly definition: WorkflowDefinition;
  /** Code of the workflow; undefined until it was created. */
  readonly code: WorkflowCode | undefined;
  readonly settings: EngineSettings;
  readonly timers: Timers;
  readonly results: CallResults;
  /** Span of the pass; undefined while tracing is off. */
  readonly span: PassSpan | undefined;
  readonly abortSignal: AbortSignal;
  readonly isClosed: boolean;
  /** Recorded time of the last delivered result, which is the current time for the workflow. */
  readonly logicalNow: number;
  /**
   * Makes a durable call for the workflow function. Returns the recorded result, or begins the work
   * of the call to produce a result.
   *
   * @throws NestedStepError inside the body of a step
   */
  call(request: CallRequest): Promise<unknown>;
  /** Calls `fn` as a scope whose calls are undone when it fails. */
  saga<T>(fn: () => Promise<T> | T): Promise<T>;
  /** Returns the step's wait that an earlier pass left open, if there is one. */
  recordedWait(stepKey: string): OpenWait | undefined;
  /** Calls `begin` once all results that the workflow's code has received are durable. */
  whenDurable(begin: () => void): void;
  /**
   * Takes a slot of the worker for a step's body. Calls `now` if a slot is free. Otherwise calls
   * `later` when the run has got a slot.
   */
  withSlot(now: () => void, later: () => void): void;
  /** Effects of the workflow outside its own run. */
  readonly effects: PassEffects;
  readonly pendingStarts: StartsObserver;
  /** Opens a wait for a child run and starts the child, in one transaction. */
  openChild(call: Call, wait: OpenWait, child: NewRun, refused: (error: Error) => void): void;
  /** Returns true when the run uses the changed code that `ctx.patched` guards. */
  isPatched(id: string): boolean;
  /** Ends the run and starts another in its place. */
  continueAs(run: NewRun): void;
  /** Publishes a value for readers of the run. */
  setState(key: string, value: unknown): void;
  /** Logs a warning for the developer. */
  warn(code: WarningCode, message: string): void;
  attemptFailed(failure: AttemptFailure): void;
  /** True while the code repeats what an earlier pass did. */
  readonly isReplaying: boolean;
  attemptBegan(attempt: Abortable): void;
  attemptEnded(attempt: Abortable): void;
  /** Makes an open wait durable. */
  openWait(call: Call, wait: OpenWait, event: RunEvent | null, durable: () => void): void;
  /**
   * Queues an event that ends a wait. Calls `enter` in a later turn, when no result is waiting to
   * be delivered to the code.
   */
  offer(enter: () => void): void;
  /** True when the channel has more messages than open waits. */
  hasSpareMessage(channel: string): boolean;
  /** Gives the call the next message of the channel that no earlier wait takes. */
  listen(channel: string, call: Call, handler: MessageHandler): void;
  /** Deletes a message that a step's wait has refused, and writes the reason to the history. */
  dropMessage(stepKey: string, messageId: string, refusal: Error): void;
  /** Rejects a call that has no result yet, without recording the rejection. */
  withdraw(call: Call, reason: unknown): void;
  decodeError(text: string): Error;
  /** Encodes a result in the stored form. @throws SerializationError, PayloadTooLargeError */
  encode(value: unknown, subject: string): string;
  /** Encodes a thrown value in the stored form. Never throws. */
  encodeError(error: unknown): string;
}
