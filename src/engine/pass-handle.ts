import type { NewRun } from '../core/run.js';
import type { OpenWait, StepKind } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import type { Call } from './call.js';
import type { MessageHandler } from './mailbox.js';
import type { Settlement } from './message.js';
import type { AttemptFailure, EngineSettings, PassEffects, WorkflowCode, WorkflowDefinition } from './ports.js';
import type { Timers } from './timers.js';

/** Options of a call that most calls do without. */
export interface CallOptions {
  /** Withdraws the call when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called at once with the open wait of an earlier pass: the call may be withdrawn before it can
   * begin.
   */
  readonly resumed?: (call: Call, wait: OpenWait) => void;
  /**
   * Called at once when the call must begin and cannot yet. Used to copy values that the caller may
   * change before the call begins.
   */
  readonly deferred?: () => void;
}

/** Notified of changes after which a pass may only wait, or be active again. */
export interface ActivityDelegate {
  update(): void;
}

/** Attempt at a body that can be aborted. */
export interface Abortable {
  readonly stepKey: string;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
  abort(reason: unknown): void;
}

/** Pass as the operations of a workflow see it. */
export interface PassHandle {
  readonly run: { readonly id: string; readonly generation: number; readonly seedId: string };
  readonly definition: WorkflowDefinition;
  /** Code that is executed; undefined until the pass has begun. */
  readonly code: WorkflowCode | undefined;
  readonly settings: EngineSettings;
  readonly timers: Timers;
  readonly abortSignal: AbortSignal;
  readonly isClosed: boolean;
  /** Recorded time of the last delivery: the clock that the workflow sees. */
  readonly logicalNow: number;
  /**
   * Makes a durable call of the workflow function. Returns its recorded result, or calls `begin` to
   * produce one.
   *
   * @throws NestedStepError inside the body of a step
   */
  call(
    kind: StepKind,
    name: string,
    key: string | undefined,
    argsHash: number | null,
    begin: (call: Call) => void,
    options?: CallOptions,
  ): Promise<unknown>;
  /** Returns the wait of a step that was open when the run was last suspended or handed back. */
  recordedWait(stepKey: string): OpenWait | undefined;
  /** Calls `begin` once everything that the code has seen is durable. */
  whenDurable(begin: () => void): void;
  /** Effects of the workflow outside its own run. */
  readonly effects: PassEffects;
  /** Opens a wait for a child run and starts the child, in one transaction. */
  openChild(call: Call, wait: OpenWait, child: NewRun, refused: (error: Error) => void): void;
  /** Tells if the run takes part in a change of the code. */
  isPatched(id: string): boolean;
  /** Ends the run and starts another in its place. */
  continueAs(run: NewRun): void;
  /** Publishes a value for readers of the run. */
  setState(key: string, value: unknown): void;
  /** Logs a warning for the developer. */
  warn(message: string): void;
  attemptFailed(failure: AttemptFailure): void;
  /** True while the code repeats what an earlier pass did. */
  readonly isReplaying: boolean;
  attemptBegan(attempt: Abortable): void;
  attemptEnded(attempt: Abortable): void;
  /** Makes an open wait durable. */
  openWait(call: Call, wait: OpenWait, event: RunEvent | null, durable: () => void): void;
  /**
   * Queues something that ends a wait until it may enter. Nothing enters while a result is on its
   * way to the code.
   */
  offer(enter: () => void): void;
  /** True when there is a message of the channel that no open wait takes. */
  hasSpareMessage(channel: string): boolean;
  /** Gives the call the next message of the channel that no earlier wait takes. */
  listen(channel: string, call: Call, handler: MessageHandler): void;
  /** Drops a message that the wait of a step has refused. The history says why. */
  dropMessage(stepKey: string, messageId: string, refusal: Error): void;
  /** Records the result of a call, and queues the result for the code. */
  settle(call: Call, settlement: Settlement): void;
  /** Rejects a call that has no result yet, and records nothing of it. */
  withdraw(call: Call, reason: unknown): void;
  decodeError(text: string): Error;
  /** Encodes a result as it is stored. @throws SerializationError, PayloadTooLargeError */
  encode(value: unknown, subject: string): string;
  /** Encodes a thrown value as it is stored. Never throws. */
  encodeError(error: unknown): string;
}
