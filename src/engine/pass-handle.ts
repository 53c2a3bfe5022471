import type { NewRun } from '../core/run.js';
import type { OpenWait, StepKind } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import type { Call } from './call.js';
import type { MessageHandler } from './mailbox.js';
import type { Settlement } from './message.js';
import type { AttemptFailure, EngineSettings, PassEffects, WorkflowCode, WorkflowDefinition } from './ports.js';
import type { Timers } from './timers.js';

/** What some calls need beside what begins them. */
export interface CallOptions {
  /** Withdraws the call. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of the open wait of an earlier pass at once: the call may be given up before it could begin. */
  readonly resumed?: (call: Call, wait: OpenWait) => void;
  /** Called at once when the call has to be begun and cannot begin yet: the time to copy what the caller may change meanwhile. */
  readonly deferred?: () => void;
}

/** Notified of changes after which a pass may only wait, or be active again. */
export interface ActivityDelegate {
  update(): void;
}

/** A try of a body that can be told to stop. */
export interface Abortable {
  readonly stepKey: string;
  /** Which try this is, from 1. */
  readonly attempt: number;
  abort(reason: unknown): void;
}

/** A pass as the operations that a workflow calls see it. */
export interface PassHandle {
  readonly run: { readonly id: string; readonly generation: number; readonly seedId: string };
  readonly definition: WorkflowDefinition;
  /** What is executed; there once the pass has begun. */
  readonly code: WorkflowCode | undefined;
  readonly settings: EngineSettings;
  readonly timers: Timers;
  readonly abortSignal: AbortSignal;
  readonly isClosed: boolean;
  /** The recorded time of the last delivery: the clock that the workflow sees. */
  readonly logicalNow: number;
  /**
   * A durable operation of the workflow function: its recorded result, or `begin` to produce one.
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
  /** The wait of that step that was open when the run was last let go of. */
  recordedWait(stepKey: string): OpenWait | undefined;
  /** Begins once everything that the code had seen when it made the call is durable. */
  whenDurable(begin: () => void): void;
  /** What the workflow sets off outside its own run. */
  readonly effects: PassEffects;
  /** Opens a wait for a child run and starts the child, together. */
  openChild(call: Call, wait: OpenWait, child: NewRun, refused: (error: Error) => void): void;
  /** Whether the code takes part in a change, from the first time that it comes to it with the change in place. */
  isPatched(id: string): boolean;
  /** Ends the run; another goes on in its place. */
  continueAs(run: NewRun): void;
  /** Shows a value to those who look at the run. */
  setState(key: string, value: unknown): void;
  /** Tells the developer something. */
  warn(message: string): void;
  attemptFailed(failure: AttemptFailure): void;
  /** Whether the code only comes to what an earlier pass came to. */
  readonly isReplaying: boolean;
  attemptBegan(attempt: Abortable): void;
  attemptEnded(attempt: Abortable): void;
  /** Makes an open wait durable. */
  openWait(call: Call, wait: OpenWait, event: RunEvent | null, durable: () => void): void;
  /** Lets something that ends a wait in, when it is its turn: nothing enters while a result is on its way to the code. */
  offer(enter: () => void): void;
  /** Whether there is a message of that channel that no open wait takes. */
  hasSpareMessage(channel: string): boolean;
  /** Gives the call the next message of that channel that no earlier wait takes. */
  listen(channel: string, call: Call, handler: MessageHandler): void;
  /** A message is not what the wait of that step is for: it is gone, and the history says why. */
  dropMessage(stepKey: string, messageId: string, refusal: Error): void;
  /** A call has its result: it enters the journal, and the lane. */
  settle(call: Call, settlement: Settlement): void;
  /** Rejects a call that has no result yet, and records nothing of it. */
  withdraw(call: Call, reason: unknown): void;
  decodeError(text: string): Error;
  /** The stored text of a result. @throws SerializationError, PayloadTooLargeError */
  encode(value: unknown, subject: string): string;
  /** The stored text of what was thrown. Never throws. */
  encodeError(error: unknown): string;
}
