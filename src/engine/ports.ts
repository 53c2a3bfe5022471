import type { Failure } from '../core/failure.js';
import type { HookSchemas } from '../core/hook-schemas.js';
import type { Payloads } from '../core/payloads.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { LogLevel } from '../core/log-fields.js';
import type { NewRun } from '../core/run.js';
import type { History, OpenWait, StepRecord } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import type { Call } from './call.js';
import type { WorkflowContext } from './workflow-context.js';

/** The code of a workflow, ready to be executed. */
export interface WorkflowCode {
  readonly invoke: (input: unknown, context: WorkflowContext) => Promise<unknown>;
  /** What the application wants around the bodies of methods with `@Step`. */
  readonly interceptor?: StepInterceptor;
}

export interface StepInterceptor {
  /** Executes the body: `method` called on `target`, within what surrounds it. */
  execute(target: object, method: Function, name: string, args: readonly unknown[]): Promise<unknown>;
  /** What surrounds the body has let it begin. */
  began(step: object): void;
}

/** What a pass's own code may depend on. */
export interface StartedRun {
  readonly runId: string;
  readonly input: unknown;
}

/** Makes the code of one pass, where a workflow wants an instance for each. */
export interface WorkflowInstanceFactory {
  make(run: StartedRun): Promise<WorkflowCode>;
  /** It could not be made. @returns milliseconds until it is tried again */
  failed(runId: string, error: unknown): number;
}

/** A workflow as the engine needs it: how to identify it and how to run it. */
export type WorkflowDefinition = WorkflowIdentity & (WorkflowCode | { readonly maker: WorkflowInstanceFactory });

interface WorkflowIdentity {
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  /** Steps of the workflow's own class have the method's name alone as their key. */
  readonly owns: (target: unknown) => boolean;
  /**
   * Claims the name of a step for its owner: a class, or a declaration.
   *
   * @throws WorkflowConfigurationError when the workflow has called another owner's step by this name
   */
  readonly claimName?: (name: string, owner: object) => void;
  readonly retry: RetryPolicy;
  readonly stepTimeoutMs: number;
  /** The most that a step's own timeout may be: beyond that its body would be cut off, and executed again for ever. */
  readonly longestStepMs?: number | undefined;
  /** How long runs may take that are started by the workflow's name alone: of the others it is known when they are started. */
  readonly runTimeoutMs?: number | null;
}

/** The run that a pass executes. */
export interface PassRun {
  readonly id: string;
  /** As it is stored. */
  readonly input: string;
  readonly startedAt: number;
  /** When it fails if it has not ended, milliseconds since the epoch by the database's clock. */
  readonly deadlineAt: number | null;
  /** How many times it has been retried. */
  readonly generation: number;
  /** Where its random numbers come from. */
  readonly seedId: string;
}

/** How the workflow function ended. Payloads are text as it is stored. */
export type PassOutcome =
  | { readonly status: 'completed'; readonly output: string; readonly continuedAs?: NewRun }
  | { readonly status: 'failed'; readonly error: string; readonly failure: Failure }
  | { readonly status: 'cancelled'; readonly error: string };

/** Why a pass could not go on. Nothing more comes from it. */
export type PassFault =
  /** Today's code does not fit the history, or cannot read it: the run waits for another deployment. */
  | { readonly kind: 'mismatch'; readonly error: Error }
  /** A result that the workflow saw already could not be stored: another pass must start from what is stored. */
  | { readonly kind: 'restart' };

/** The execution of a run, as its pass sees it. */
export interface PassPort {
  readonly journal: PassJournal;
  /** Something that the developer should hear of. */
  warn(message: string): void;
  /** An attempt of a step has failed. */
  attemptFailed(failure: AttemptFailure): void;
  /** `leftovers` tells whether waits or messages of the run may still be recorded. */
  ended(outcome: PassOutcome, leftovers: 'none' | 'some'): void;
  faulted(fault: PassFault): void;
  /** Nothing is active but waits. `wakeAt` is when the first of them is due; infinity when only messages are waited for. */
  idle(wakeAt: number): void;
  /** Something is active again. */
  busy(): void;
  /** A wait is open for which no message has been received: where some were held back, this one may be among them. */
  missing?(): void;
}

/**
 * Makes durable what a pass does. Everything handed over is written in the order in which it is handed over; `durable` is
 * called once it is committed, `refused` when the database will not have it.
 */
export interface PassJournal extends PassEffects {
  record(step: StepRecord, closesWait: boolean, takes: string | null, durable: () => void, refused: (error: Error) => void): void;
  openWait(wait: OpenWait, event: RunEvent | null, durable: () => void): void;
  /** Opens a wait for a child run and starts the child, together. `refused`: there is a run of that id. */
  openChild(wait: OpenWait, child: NewRun, refused: (error: Error) => void): void;
  /** The wait of that key is no longer open. */
  closeWait(stepKey: string): void;
  /** A message is gone from the inbox that nobody took. Without an event when many were dropped before. */
  dropMessage(messageId: string, event: RunEvent | null): void;
}

/** A failed attempt of a step. */
export interface AttemptFailure {
  readonly stepKey: string;
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Milliseconds since the epoch; undefined when the step has failed for good. */
  readonly nextAttemptAt: number | undefined;
  readonly error: unknown;
}

/** A line that the code of a workflow logs. */
export interface RunLine {
  readonly level: LogLevel;
  readonly message: unknown;
  readonly params: readonly unknown[];
}

/** What a pass sets off outside its own run. */
export interface PassEffects {
  /**
   * Starts a run that nobody waits for; resolves when it is durable.
   *
   * @returns `'taken'` when the id belongs to a run that this parent did not start
   */
  startDetached(run: NewRun): Promise<'started' | 'taken'>;
  /** Asks a child run to stop, and closes the wait for it, together. */
  cancelChild(stepKey: string, childId: string): void;
  /** @returns the token, and who has it when that is another run */
  createHook(hook: NewHook): Promise<{ token: string; owner?: string }>;
  /** Shows a value to those who look at the run. JSON text. */
  setState(key: string, value: string): void;
}

/** A hook to be created. */
export interface NewHook {
  readonly stepKey: string;
  readonly token: string;
  readonly headers: readonly string[];
  readonly verify: string | null;
  readonly idempotencyHeader: string | null;
}

/** How runs are made that the workflow starts. */
export interface RunStarter {
  /** @throws InvalidInputError, WorkflowNotFoundError */
  check(workflow: unknown, options: object): PreparedStart;
  /** A run's id that follows from the step that starts it. */
  idFor(runId: string, stepKey: string): string;
}

/** A start whose arguments but the input have been checked. */
export interface PreparedStart {
  /** Of the workflow. */
  readonly name: string;
  /** @throws InvalidInputError, SerializationError, PayloadTooLargeError */
  withInput(input: unknown): Promise<NewRun>;
}

/** What the engine takes from its surroundings. */
export interface EngineSettings {
  readonly payloads: Payloads;
  /** Whether mistakes of the application's code are looked for, and cost the time that it takes. */
  readonly isDevelopment: boolean;
  readonly cancelGraceMs: number;
  /** How long a replay waits for a call that came out of ordinary I/O when it was recorded. */
  readonly replayStallMs: number;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly now: () => number;
  /**
   * Whether this process has lately been told that its runs are its own. After a freeze it has not: others may have taken them over, and no body
   * begins before it knows.
   */
  readonly isSure: () => boolean;
  /** Whether this process is closing. A body that fails meanwhile may have lost what it uses: its attempt does not count, and it is executed again elsewhere. */
  readonly isClosing: () => boolean;
  /** Writes a line that the code of a run logs. */
  readonly log: (workflow: string, runId: string, line: RunLine) => void;
  readonly starts: RunStarter;
  /** Where a hook is called. */
  readonly hookUrl: (token: string) => string;
  /** Where those who accept payloads find the schemas of hooks. */
  readonly hookSchemas: HookSchemas;
  /** Replays a run whose code has ended, before its end is recorded. Absent where that is not done. */
  readonly verifyReplay?: ReplayVerifier | undefined;
}

/** What a replay is compared with. */
export interface Recording {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  /** The results that the code got, and the waits that were open when its last pass began. */
  readonly history: History;
  /** All calls that the code made, by step key: also those that have no result. Absent where only the history is known. */
  readonly calls?: ReadonlyMap<string, Call> | undefined;
  /** Absent where the run has not ended. */
  readonly outcome?: PassOutcome | undefined;
}

/** Replays a run. @returns an error that names the first difference; undefined when there is none, or none can be proved */
export type ReplayVerifier = (recording: Recording, settings: EngineSettings) => Promise<Error | undefined>;

/** Follows a pass step by step. */
export interface PassObserver {
  /** The code has made a call. `record` is its recorded result, if there is one. */
  called(call: Call, record: StepRecord | undefined): void;
  /** The code does not make a recorded call. Replaces the refusal of the code. */
  missed(step: StepRecord): void;
  /** Everything recorded was delivered, and the code waits for more. */
  stoodStill(): void;
}
